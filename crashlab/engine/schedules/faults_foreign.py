"""Foreign actors: what others do to the files of a live database, as one more lane of a schedule of processes.

    stray       opens, reads and closes the three files in the first lane's process: its locks there are cancelled
    copier      copies the main file, then the WAL, from a process of its own: harms nothing but its copy
    unlinker    removes `-wal` and `-shm`
    restorer    puts the main file back as it was when it came
    looker      looks at names and sizes from a process of its own: harms nothing
    apsw=DIR    another program with a SQLite of its own, that of the apsw in DIR: it reads and checkpoints (PASSIVE),
                as a shell or a viewer does. With an old one it brings that version's defects to a database whose own
                program has none of them

https://sqlite.org/howtocorrupt.html . The program is judged as if nothing had befallen it: a finding says what it does
not stand beside such a neighbour.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crashlab.errors import UsageError, did_you_mean
from crashlab.model.schedule import Actor, Script
from crashlab.model.step import Lane, Step
from crashlab.model.workload import Context
from crashlab.sqlite.apsw_module import has_apsw

__all__ = ["FOREIGN", "Neighboured", "foreign_actors", "foreign_of", "parse_foreign"]

FOREIGN = ("stray", "copier", "unlinker", "restorer", "looker", "apsw=DIR")
OTHER_LIBRARY = "apsw="
PREFIX = "foreign-"
VISITS = 2
BUSY_MS = 5000
_REST_S = 0.01
_FILES = ("", "-wal", "-shm")


def foreign_of(script: Script) -> tuple[str, ...]:
    """Return the kinds of foreign actors that a script has lanes for."""
    lanes = (actor.lane for actor in script.actors if actor.lane.startswith(PREFIX))
    return tuple(lane.removeprefix(PREFIX) for lane in lanes)


def foreign_actors(kinds: Sequence[str]) -> tuple[Actor, ...]:
    """Return the actors that play all steps of these foreign lanes."""
    return tuple(Actor(f"{PREFIX}{kind}", tuple(range(2 * VISITS))) for kind in kinds)


def parse_foreign(text: str) -> tuple[str, ...]:
    """Read the kinds of foreign actors, with commas; "" for none.

    Raises:
        UsageError: an unknown one.
    """
    found = tuple(dict.fromkeys(filter(None, (word.strip() for word in text.split(",")))))
    for word in found:
        if word.startswith(OTHER_LIBRARY):
            if has_apsw(word.removeprefix(OTHER_LIBRARY)):
                continue
            raise UsageError(f"foreign actor {word}: no apsw there; make it: `pip install --target DIR apsw==VERSION`")
        if word not in FOREIGN:
            raise UsageError(
                f"foreign actor {word!r}: expected one of {', '.join(FOREIGN)}{did_you_mean(word, FOREIGN)}"
            )
    return found


class Neighboured:
    """A workload with foreign lanes beside its own; everything else is the workload's."""

    def __init__(self, workload: Any, kinds: Sequence[str]) -> None:
        self._workload = workload
        self._kinds = tuple(kinds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workload, name)

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """The workload's, and one for each foreign actor."""
        own: tuple[Lane, ...] = self._workload.lanes(ctx)
        first = max(lane.process for lane in own) + 1
        foreign = [
            Lane(f"{PREFIX}{kind}", process=own[0].process if kind == "stray" else first + place)
            for place, kind in enumerate(self._kinds)
        ]
        return (*own, *foreign)

    def open(self, ctx: Context) -> Any:
        """The workload's own; a foreign process opens nothing."""
        processes = {lane.process for lane in self._workload.lanes(ctx)}
        return self._workload.open(ctx) if ctx.process in processes else _Nothing()

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """A foreign actor comes `VISITS` times."""
        if not lane.name.startswith(PREFIX):
            yield from self._workload.steps(lane, instance, ctx)
            return
        kind = lane.name.removeprefix(PREFIX)
        if kind.startswith(OTHER_LIBRARY):
            yield from _other_program(ctx, instance, kind.removeprefix(OTHER_LIBRARY))
            return
        visitor = _Visitor(ctx)
        for number in range(VISITS):
            yield Step(2 * number, (), visitor.comes(kind))
            yield Step(2 * number + 1, (), visitor.goes(kind))


class _Nothing:
    def __init__(self) -> None:
        self.connections: list[Any] = []

    def close(self) -> None:
        """Close what another program's lane has opened."""
        for connection in self.connections:
            connection.close()


def _other_program(ctx: Any, instance: _Nothing, directory: str) -> Iterator[Step]:
    def come() -> None:
        connection = ctx.other_library(directory).Connection(str(ctx.database))
        connection.set_busy_timeout(BUSY_MS)
        instance.connections.append(connection)
        list(connection.execute("SELECT count(*) FROM sqlite_schema"))

    def checkpoint() -> None:
        list(instance.connections[0].execute("PRAGMA wal_checkpoint(PASSIVE)"))

    yield Step(0, (), come)
    for number in range(1, 2 * VISITS):
        yield Step(number, (), checkpoint)


class _Visitor:
    def __init__(self, ctx: Context) -> None:
        self._paths = [Path(f"{ctx.database}{suffix}") for suffix in _FILES]
        self._kept = ctx.directory / "foreign"

    def comes(self, kind: str) -> Any:
        return {"copier": self._copy_main, "restorer": self._copy_main}.get(kind, self._look)

    def goes(self, kind: str) -> Any:
        return {
            "stray": self._read,
            "copier": self._copy_wal,
            "unlinker": self._unlink,
            "restorer": self._restore,
        }.get(kind, self._look)

    def _look(self) -> None:
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                path.stat()

    def _read(self) -> None:
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                path.read_bytes()

    def _copy_main(self) -> None:
        self._kept.mkdir(exist_ok=True)
        if not (self._kept / "main").exists():
            shutil.copyfile(self._paths[0], self._kept / "main")
        time.sleep(_REST_S)  # in a schedule others run meanwhile

    def _copy_wal(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self._paths[1], self._kept / "main-wal")

    def _unlink(self) -> None:
        for path in self._paths[1:]:
            path.unlink(missing_ok=True)

    def _restore(self) -> None:
        shutil.copyfile(self._kept / "main", self._paths[0])
