"""One recovery: a disk, the program's own start-up and close on it, and what the database then holds."""

import contextlib
import gc
import hashlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Recorder, Seed, Tap
from crashlab.states.recover import Logical, Probe, recover
from crashlab.states.replay import require_same
from crashlab.states.trace import Trace, load_trace
from crashlab.writers.context import RunContext
from crashlab.writers.order import Order
from crashlab.writers.record import PlainFiles

__all__ = ["Disk", "Recorded", "Restarter", "disk_hash", "read_disk"]

Disk = dict[str, bytes]
"""Names, relative and with `/`, and what the files hold."""

_SIDECARS = ("-wal", "-journal")


class Recorded(NamedTuple):
    """A recovery's operations, what it came to, and the directory that holds both; remove it when done.

    `unseen`: files that the program made and that no record knows, so that they are in no crash state.
    """

    trace: Trace
    logical: Logical
    directory: Path
    unseen: frozenset[str]


class Restarter:
    """Starts the program on disks, one after the other, in directories of its own below `scratch`.

    `probe`: what is read afterwards. `seed`: SQLite's randomness in recorded recoveries comes from it, so the
    same disk gives the same operations. `restarts`: how often the program was started.
    """

    def __init__(self, workload: Any, order: Order, probe: Probe, scratch: Path, seed: int) -> None:
        self.restarts = 0
        self._workload = workload
        self._order = order
        self._probe = probe
        self._scratch = scratch
        self._seed = seed
        self._numbers = 0
        scratch.mkdir(parents=True, exist_ok=True)

    def restart(self, disk: Disk) -> Logical:
        """Start and close the program on a disk; return what the database then holds."""
        directory = self._directory()
        try:
            write_disk(disk, directory)
            return self._start(directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def record(self, disk: Disk) -> Recorded:
        """The same, recorded: SQLite's files by the tap, the program's own beside them.

        Raises:
            LabError: something wrote past the tap, so its crashes can't be computed.
            TapUnavailableError: SQLite can't be tapped in this process.
        """
        directory = self._directory()
        initial, run, scratch = directory / "initial", directory / "run", directory / "replayed"
        for place in (initial, run):
            place.mkdir()
            write_disk(disk, place)
        scratch.mkdir()
        base = str(directory / "log")
        log = LogWriter(base)
        names = {*disk, *(self._probe.database + sidecar for sidecar in _SIDECARS)}
        try:
            with (
                Tap(Seed(self._seed), recorder=Recorder(log, run)),
                PlainFiles(log, str(run)),
            ):
                refusal = self._run(run)
                if refusal:
                    gc.collect()  # what it left open is closed while that is still recorded
        finally:
            log.close()
        trace = load_trace([base], initial=initial)
        require_same(trace, run, scratch)
        known = {file.path for file in trace.files}.union(trace.paths, names)
        unseen = frozenset(name for name in _names_in(run) - known if not name.endswith("-shm"))
        return Recorded(trace, self._read(run, refusal), directory, unseen)

    def _start(self, directory: Path) -> Logical:
        return self._read(directory, self._run(directory))

    def _run(self, directory: Path) -> str:
        """Start and close; return the kind of error with which the program refused, else nothing."""
        self.restarts += 1
        order = msgspec.structs.replace(
            self._order,
            directory=str(directory),
            database=str(directory / self._probe.database),
            tap=None,
            probe=False,
        )
        try:
            instance = self._workload.restart(RunContext(order, 0, sqlite3.connect))
        except Exception as error:
            return type(error).__name__
        with contextlib.suppress(Exception):
            instance.close()
        return ""

    def _read(self, directory: Path, refusal: str) -> Logical:
        if refusal:
            return Logical(error=f"the restart path refused with {refusal}")
        return recover(directory, self._probe, read_only=False)

    def _directory(self) -> Path:
        self._numbers += 1
        directory = self._scratch / f"recovery{self._numbers}"
        directory.mkdir()
        return directory


def _names_in(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def read_disk(directory: Path) -> Disk:
    """Read all files of a directory in which no database is open."""
    return {name: (directory / name).read_bytes() for name in _names_in(directory)}


def write_disk(disk: Disk, directory: Path) -> None:
    """Write files into a directory."""
    for name, data in disk.items():
        target = directory / name
        if "/" in name:
            target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def disk_hash(disk: Disk) -> bytes:
    """Sixteen bytes that stand for a disk."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(disk):
        data = disk[name]
        found.update(b"%d:%s:%d:" % (len(name), name.encode("utf-8", "surrogateescape"), len(data)))
        found.update(data)
    return found.digest()
