"""The protocols between the lab and the program under test."""

import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from crashlab.model.case import Param
from crashlab.model.contract import Contract, FaultClass
from crashlab.model.history import History
from crashlab.model.step import Lane, Step, Table


class Context(Protocol):
    """What the lab hands to a workload: everything that may vary comes from here."""

    directory: Path
    database: Path
    process: int
    seed: int
    rng: random.Random
    params: Mapping[str, Param]

    @property
    def connect(self) -> Callable[..., sqlite3.Connection]:
        """A drop-in for `sqlite3.connect` whose connections mark their phases in the log."""

    def clock(self) -> float:
        """Seconds of the stepped clock: it moves by `tick_s` per step and never by itself."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """`event.wait(seconds)` on the stepped clock; returns True if the event is set."""

    def note(self, text: str) -> None:
        """Put a remark in the log."""

    def signal(self, name: str) -> None:
        """Tell the trial's other processes that `name` has happened."""

    def await_signal(self, name: str, seconds: float = 5.0) -> None:
        """Wait until another process signalled `name`.

        Raises:
            TimeoutError: it did not within `seconds`.
        """


@runtime_checkable
class Instance(Protocol):
    """A subject's open handle."""

    def close(self) -> None:
        """Close it the way the program does."""


class Check(msgspec.Struct, frozen=True):
    """One of the workload's own invariants, judged after its own restart path.

    `run(instance, connection, history)` yields one line for each violation; `connection` is the lab's
    own, read-only by convention, on the recovered database. `not_under` names fault classes under which the
    invariant is not promised (a checkpoint may fail when the disk does).
    """

    name: str
    run: Callable[[Any, sqlite3.Connection, History], Iterable[str]]
    not_under: tuple[FaultClass, ...] = ()


class Audit(msgspec.Struct, frozen=True):
    """Something about the program's surroundings that no crash changes, looked at once a gate.

    `run()` yields one line for each violation: a key that nothing reads, a callable of the wrong kind.
    """

    name: str
    run: Callable[[], Iterable[str]]


class Workload(Protocol):
    """The program under test, with a model of its intended state.

    It may also have `audits`, a tuple of `Audit`, and `requirements`, a mapping of requirements to the names of the
    checks and audits that stand for each; the gate then has a row for each requirement.
    """

    contract: Contract
    tables: tuple[Table, ...]
    checks: tuple[Check, ...]
    params: Mapping[str, Param]
    """The declared parameters and their defaults; a case may override these and no others."""

    def open(self, ctx: Context) -> Instance:
        """Start the program (process 0) or one of its other processes."""

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """The lanes of this run."""

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """The steps of one lane, in order; may be endless, the case's limits end it."""

    def restart(self, ctx: Context) -> Instance:
        """The program's own start-up path after a crash."""
