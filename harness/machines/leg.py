"""A leg: the program's life between two crashes, recorded in this process.

A leg has a private directory, in memory where there is tmpfs. Every operation of SQLite on it goes into one
log, and the places where the program's own operations begin and end are places in that log. After the leg any
state that a crash could have left can be made of it, in a new directory, where the next leg begins.

Single-threaded, and SQLite's randomness is seeded: the same operations write the same bytes, so that a crash
state's text means the same files again.
"""

import shutil
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, UsageError
from crashlab.log.format import Kind
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Call, Failer, Failure, Listener, Operation, Recorder, Seed, Selector, Tap
from crashlab.states.materialise import Materialiser
from crashlab.states.replay import require_same
from crashlab.states.state import CrashState
from crashlab.states.trace import Trace, load_trace

DATABASE = "store.db"
SYNCHRONOUS = ("FULL", "NORMAL")
PASSED_ON = ("", "-wal", "-journal")
"""What the next leg gets of the files: the `-shm` is volatile."""

LOG_BYTES_MAX = 64 << 20


class Faults(Listener):
    """The disk of a leg: sound until `arm`, and again from `disarm`."""

    operations = frozenset({Operation.WRITE, Operation.SYNC, Operation.TRUNCATE})

    def __init__(self) -> None:
        self._failer: Failer | None = None
        self.fired = 0

    def arm(self, selector: str, failure: str, *, persistent: bool) -> None:
        """Fail the call that the selector names, counted from now on; with `persistent` all such from there on.

        Raises:
            UsageError: a selector or failure that is none, or an operation that is not listened to.
        """
        parsed = Selector.parse(selector)
        if parsed.operation not in self.operations:
            raise UsageError(f"fault at {selector}: expected one of {', '.join(sorted(self.operations))}")
        self.fired = 0
        self._failer = Failer(parsed, Failure(failure), persistent=persistent, on_fire=self._count)

    def disarm(self) -> int:
        """Make the disk sound; how many calls failed since `arm`."""
        self._failer = None
        return self.fired

    def before(self, call: Call) -> int | None:
        """Answer in the place of the operation when its time has come."""
        return None if self._failer is None else self._failer.before(call)

    def _count(self, _text: str) -> None:
        self.fired += 1


class Place:
    """Where a store's database is, and how everybody connects to it."""

    def __init__(self, directory: Path, synchronous: str) -> None:
        if synchronous not in SYNCHRONOUS:
            raise UsageError(f"synchronous {synchronous!r}, expected one of {', '.join(SYNCHRONOUS)}")
        self.directory = directory
        self.database = directory / DATABASE
        self._synchronous = synchronous

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        """`sqlite3.connect` for every connection here: at this `synchronous`, and never waiting for a lock.

        One thread holds all connections, so what it waits for would never be released.
        """
        connection: sqlite3.Connection = sqlite3.connect(*arguments, **{**options, "timeout": 0.0})
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return connection

    def second_connection(self, *, read_only: bool = False) -> sqlite3.Connection:
        """Open the database as another program would."""
        uri = f"{self.database.as_uri()}?mode={'ro' if read_only else 'rw'}"
        return self.connect(uri, uri=True, isolation_level=None)


class Leg(Place):
    """One leg; a context manager.

    `files`: what the disk held when it began, by name; nothing for a program's first start. `seed`: SQLite's
    randomness. `synchronous`: what `connect` sets.

    Raises:
        TapUnavailableError: this process's SQLite cannot be tapped.
        UsageError: another tap is installed in this process.
    """

    def __init__(
        self, space: Workspace, files: Path | None = None, *, seed: int = 0, synchronous: str = "FULL"
    ) -> None:
        self._root = space.make_run()
        super().__init__(self._root / "files", synchronous)
        self._initial = self._root / "initial"
        self.directory.mkdir()
        self._initial.mkdir()
        if files is not None:
            copy_files(files, self._initial)
            copy_files(files, self.directory)
        self.faults = Faults()
        self.trace: Trace | None = None
        self._log = LogWriter(str(self._root / "log"), bytes_max=LOG_BYTES_MAX)
        self._tap = Tap(Seed(seed), self.faults, recorder=Recorder(self._log, self.directory))
        try:
            self._tap.install()
        except BaseException:
            self._log.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def mark(self) -> int:
        """Note this place in the log and return it."""
        return self._log.append(Kind.NOTE, b"")

    def finish(self) -> Trace:
        """End the recording; every connection must be closed. Repeating it returns the same trace.

        Raises:
            LabError: the recording does not give the files that are there, so it proves nothing.
        """
        if self.trace is None:
            self._tap.uninstall()
            self._log.close()
            self.trace = load_trace([str(self._root / "log")], initial=self._initial)
            scratch = self._root / "replayed"
            scratch.mkdir()
            require_same(self.trace, self.directory, scratch)
            shutil.rmtree(scratch)
        return self.trace

    def place(self, moment: int) -> int:
        """Return the first place in the log that a crash at this moment has not seen."""
        trace = self.finish()
        if not 0 <= moment <= len(trace):
            raise UsageError(f"moment {moment}, the leg has {len(trace)}")
        return trace.seq[moment] if moment < len(trace) else 1 << 62

    def moments(self, begin: int, end: int) -> range:
        """Return the moments at which a crash comes after one place in the log and not after another.

        Never empty: an operation that changed nothing on the disk has the moment in which it began.
        """
        trace = self.finish()
        first = sum(seq < begin for seq in trace.seq)
        last = sum(seq < end for seq in trace.seq)
        return range(first, last + 1)

    def export(self, state: CrashState) -> Path:
        """Write the files of a crash state into a new directory and return it.

        Raises:
            UsageError: the state is none of this leg's.
        """
        target = self._root / "crashed"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        with Materialiser(self.finish(), self._root / "states") as states:
            states.export(state, target)
        return target

    def materialiser(self) -> Materialiser:
        """Return one for many states of this leg; close it before the leg."""
        return Materialiser(self.finish(), self._root / "states")

    def close(self) -> None:
        """Remove the leg's directory, ending the recording if nobody has."""
        try:
            if self.trace is None:
                self._tap.uninstall()
                self._log.close()
        finally:
            shutil.rmtree(self._root, ignore_errors=True)


def copy_files(source: Path, target: Path) -> None:
    """Copy a database that nobody in this process has open, with what belongs to it."""
    for suffix in PASSED_ON:
        path = source / (DATABASE + suffix)
        if path.is_file():
            shutil.copyfile(path, target / path.name)
    if not source.is_dir():
        raise LabError(f"{source} is no directory; the leg's first files should be in it")
