"""Unmodified Python programs as the actors: each command runs from its first line to its exit in a process of its own.

A process is a fork of the lab's, so that it has SQLite's calls at the tap from the start and costs no interpreter's
start; the program runs in it as `__main__`, in a private copy of the working directory. Judged without a word from the
program: the database is well-formed, no program fails that does not fail when they run one after another, and, if
that is asked for, the database holds what some order of the programs, one after another, leaves.
"""

import atexit
import gc
import itertools
import os
import runpy
import shutil
import sqlite3
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from crashlab.engine.schedules.ran import Ran
from crashlab.errors import UsageError
from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.history import History
from crashlab.model.schedule import ACTORS_MAX, Actor, Script
from crashlab.model.step import Lane, Step, Table
from crashlab.model.workload import Check, Context
from crashlab.writers.program.guard import Guard
from crashlab.writers.program.spool import Spool
from crashlab.writers.schedule.decide import ENDLESS, Decide, Grant, Why

__all__ = ["PROGRAMS", "Programs", "ProgramsWorkload", "parse_programs"]

PROGRAMS = "programs"
SEPARATOR = ":::"
ROWS_MAX = 100_000
_OUTPUT = ".crashlab-output"


class Programs(msgspec.Struct, frozen=True):
    """Commands, the directory that they are run in a copy of, and the database's name in it.

    `serial`: whatever they leave must be what some order of them, one after another, leaves.
    """

    commands: tuple[tuple[str, ...], ...]
    source: str
    database: str
    serial: bool = False


def parse_programs(words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Read commands parted by `:::`.

    Raises:
        UsageError: fewer than two, too many, or one that is no Python script or module.
    """
    groups = [tuple(group) for key, group in itertools.groupby(words, SEPARATOR.__eq__) if not key]
    if not 2 <= len(groups) <= ACTORS_MAX:
        raise UsageError(f"{len(groups)} commands parted by {SEPARATOR}, expected 2 to {ACTORS_MAX}")
    for command in groups:
        _script(command)
    return tuple(groups)


class ProgramsWorkload:
    """A lane for each command, with one step: the whole program."""

    contract = Contract()
    tables: tuple[Table, ...] = ()
    params: Mapping[str, Param] = {}
    fresh = True
    """A process runs one program, once."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.database = programs.database
        self.checks = (Check("exits", self._exits), Check("serial", self._serial))
        self._known_errors: set[str] | None = None
        self._legal: set[str] | None = None
        self._contents = ""

    def measure(self, run: Callable[[Script, Decide], Ran]) -> str:
        """Run the programs one after another, in every order, twice; return why what they leave cannot be compared."""
        actors = tuple(Actor(chr(97 + number), (0,)) for number in range(len(self._programs.commands)))
        legal: set[str] = set()
        errors: set[str] = set()
        for order in itertools.permutations(range(len(actors))):
            left = set()
            for _ in range(2):
                ran = run(Script(PROGRAMS, 0, actors), _Ordered(order))
                errors.update(ran.refusals)
                left.add(self._contents)
            if len(left) > 1 and self._programs.serial:
                return "they leave something else each time (a clock, a random number, a process number)"
            legal |= left
        self._known_errors = errors
        self._legal = legal if self._programs.serial else None
        return ""

    def prepare(self, ctx: Context) -> None:
        """Copy the working directory."""
        shutil.copytree(self._programs.source, ctx.directory, dirs_exist_ok=True, symlinks=True)

    def open(self, ctx: Context) -> "_Closed":
        """Nothing: the programs open their database themselves."""
        return _Closed()

    def restart(self, ctx: Context) -> "_Closed":
        """Nothing: the lab reads what they left."""
        return _Closed()

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One a command, each in a process of its own."""
        return tuple(Lane(chr(97 + number), process=number) for number in range(len(self._programs.commands)))

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """The whole program."""
        command = self._programs.commands[lane.process]
        yield Step(0, (), lambda: _run(command, ctx.directory, lane.name))

    def _exits(self, _instance: Any, _connection: sqlite3.Connection, history: History) -> Iterator[str]:
        for step in history.steps:
            if step.error and self._known_errors is not None and step.error not in self._known_errors:
                yield f"{' '.join(self._programs.commands[step.process])}: {step.error}"

    def _serial(self, _instance: Any, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
        self._contents = _contents(connection)
        if self._legal is not None and self._contents not in self._legal:
            yield f"no order of the programs one after another leaves this: {self._contents[:300]}"


class _Closed:
    def close(self) -> None:
        """There is nothing open."""


class _Ordered:
    """Lets the actors run to their ends in an order."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = order

    def __call__(self, _why: Why, _actor: int, _call: int, _points: int, runnable: Sequence[int], /) -> Grant:
        return Grant(next(actor for actor in self._order if actor in runnable), ENDLESS)


def _script(command: Sequence[str]) -> tuple[str, list[str]]:
    """Return (module or path, its arguments); a module's name begins with `-m `."""
    words = list(command)
    if words and os.path.basename(words[0]).startswith("python"):
        words = words[1:]
    if len(words) >= 2 and words[0] == "-m":
        return f"-m {words[1]}", words[2:]
    if words and words[0].endswith(".py"):
        return words[0], words[1:]
    raise UsageError(f"command {' '.join(command)!r}: expected `python SCRIPT.py …` or `python -m MODULE …`")


def _run(command: Sequence[str], directory: Path, name: str) -> None:
    """Be the program, to its exit.

    Raises:
        RuntimeError: it exited with another code than 0.
    """
    target, arguments = _script(command)
    atexit._clear()  # what the lab's process has to do at its end is not the program's
    finalizers: Any = weakref.finalize
    finalizers._registry.clear()
    finalizers._registered_with_atexit = False
    os.chdir(directory)
    output = os.open(f"{_OUTPUT}.{name}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    spool = directory / f"{_OUTPUT}.told"
    spool.touch()
    Guard((str(directory),), Spool(str(spool))).start()
    sys.argv = [target.removeprefix("-m "), *arguments]
    failed = ""
    found: dict[str, Any] = {}
    try:
        if target.startswith("-m "):
            sys.path[:0] = [str(directory)]
            found = runpy.run_module(target[3:], run_name="__main__", alter_sys=True)
        else:
            sys.path[:0] = [str(Path(target).resolve().parent)]
            found = runpy.run_path(target, run_name="__main__")
    except SystemExit as left:
        failed = "" if left.code in (None, 0) else f"exit code {left.code}"
    except BaseException as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        failed = f"{type(error).__name__}: {error} (at {os.path.basename(line.filename)}:{line.lineno})"
        error.__traceback__ = None  # its frames hold connections
    finally:
        atexit._run_exitfuncs()
        found.clear()
        gc.collect()  # what the program left open is closed at its end, as the interpreter does
    if failed:
        raise RuntimeError(failed)


def _contents(connection: sqlite3.Connection) -> str:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    parts = []
    for (name,) in names:
        quoted = name.replace('"', '""')
        rows = connection.execute(f'SELECT * FROM "{quoted}"').fetchmany(ROWS_MAX)
        parts.append(f"{name}: {sorted(rows, key=repr)!r}")
    return "; ".join(parts)
