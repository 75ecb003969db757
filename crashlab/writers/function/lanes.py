"""Several plain functions as the lanes of one workload, for schedules.

They come packed in a file that a parameter names, so that the process that runs the schedules loads them like any
other workload. Each schedule unpacks them anew: what they close over is as it was, what they keep in their modules is
not. Each is one step, from its call to its end; what a generator yields is acked.
"""

import ast
import inspect
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.history import History
from crashlab.model.step import Lane, Step, Table
from crashlab.model.workload import Check, Context
from crashlab.writers.function.answers import ask
from crashlab.writers.function.places import Place
from crashlab.writers.function.ship import pack, unpack

__all__ = ["PACKED", "RAISES", "WORKLOAD", "FunctionLanes", "LaneCheck", "LaneFunction", "pack_lanes"]

WORKLOAD = f"{__name__}:FunctionLanes"
PACKED = "packed"
"""The parameter that names the file."""

RAISES = "raises"
_ACKED, _RAISED = "acked ", "raised "


class LaneFunction(NamedTuple):
    """One lane: its name, the function, and its arguments, a `Place` for each that is filled in where it runs."""

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]


class LaneCheck(NamedTuple):
    """One check: its name, the function, and what each of its parameters gets."""

    name: str
    function: Callable[..., Any]
    gets: Mapping[str, str]


class _Packed(NamedTuple):
    setup: LaneFunction | None
    lanes: tuple[LaneFunction, ...]
    checks: tuple[LaneCheck, ...]


def pack_lanes(setup: LaneFunction | None, lanes: Sequence[LaneFunction], checks: Sequence[LaneCheck]) -> bytes:
    """Return all of them as bytes; what several close over stays one thing.

    Raises:
        UsageError: something cannot be sent to another process; it names the function.
    """
    for lane in (setup, *lanes):
        if lane is not None:
            pack(lane.function, lane.arguments)
    for check in checks:
        pack(check.function, {})
    return pack(_Packed, {"setup": setup, "lanes": tuple(lanes), "checks": tuple(checks)})


class Running:
    """The handle: the functions of this run."""

    def __init__(self, ctx: Context, packed: _Packed) -> None:
        self.ctx = ctx
        self.packed = packed

    def filled(self, lane: LaneFunction) -> dict[str, Any]:
        """The arguments of a lane's function."""
        ctx = self.ctx
        places = {Place.DATABASE: ctx.database, Place.DIRECTORY: ctx.directory, Place.ACK: self.ack}
        return {name: places[value] if isinstance(value, Place) else value for name, value in lane.arguments.items()}

    def ack(self, value: Any = None) -> None:
        """Say that what `value` stands for is promised from now on."""
        text = repr(value)
        try:
            same = ast.literal_eval(text) == value
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            same = False
        if not same:
            raise TypeError(f"ack({text[:80]}): expected a plain value: a number, a string, bytes, a tuple or list")
        self.ctx.note(f"{_ACKED}{text}")

    def close(self) -> None:
        """The functions have closed what they opened."""


class FunctionLanes:
    """The workload."""

    contract: Contract = Contract()
    tables: tuple[Table, ...] = ()
    params: Mapping[str, Param] = {PACKED: ""}

    def __init__(self) -> None:
        self.checks: tuple[Check, ...] = (Check(RAISES, _raised),)

    def prepare(self, ctx: Context) -> None:
        """Call the function that makes everything ready, once: each schedule begins with what it has left."""
        running = self._running(ctx)
        setup = running.packed.setup
        if setup is not None:
            setup.function(**running.filled(setup))

    def open(self, ctx: Context) -> Running:
        """Unpack the functions."""
        return self._running(ctx)

    def restart(self, ctx: Context) -> Running:
        """There is no program to start again: the checks look at the database as it is."""
        return self._running(ctx)

    def _running(self, ctx: Context) -> Running:
        make, parts = unpack(str(ctx.params[PACKED]))
        running = Running(ctx, make(**parts))
        self.checks = (Check(RAISES, _raised), *(_check(check) for check in running.packed.checks))
        return running

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """A lane for each function."""
        make, parts = unpack(str(ctx.params[PACKED]))
        return tuple(Lane(lane.name) for lane in make(**parts).lanes)

    def steps(self, lane: Lane, instance: Running, ctx: Context) -> Iterator[Step]:
        """One step: a function is called to its end, or not at all."""
        function = next(each for each in instance.packed.lanes if each.name == lane.name)
        yield Step(0, (), lambda: _call(function, instance))


def _call(lane: LaneFunction, running: Running) -> tuple[()]:
    """Call a lane's function; what it yields is acked. What it raises is a finding of `raises`."""
    try:
        result = lane.function(**running.filled(lane))
        if inspect.isgenerator(result):
            for value in result:
                running.ack(value)
    except Exception as error:
        running.ctx.note(f"{_RAISED}{lane.name}: {type(error).__name__}: {error}"[:500])
    return ()


def _raised(_running: Running, _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """No function raises because another one runs beside it."""
    return (note.text.removeprefix(_RAISED) for note in history.notes if note.text.startswith(_RAISED))


def _check(check: LaneCheck) -> Check:
    def run(running: Running, connection: sqlite3.Connection, history: History) -> Iterator[str]:
        acked = [
            ast.literal_eval(note.text.removeprefix(_ACKED)) for note in history.notes if note.text.startswith(_ACKED)
        ]
        ctx = running.ctx
        gives: dict[str, Any] = {
            "connection": connection,
            "path": Path(ctx.database),
            "directory": Path(ctx.directory),
            "acked": acked,
            "fault": "none",
        }
        problem = ask(check.function, check.gets, gives)
        if problem:
            yield problem

    return Check(check.name, run)
