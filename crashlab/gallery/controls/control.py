"""What a control is, and the little that its subjects share."""

import sqlite3
from collections.abc import Iterator, Mapping

import msgspec

from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.step import Lane, Step, Table
from crashlab.model.workload import Check, Context
from crashlab.writers.order import TapPlan

REAL_ROAD = "real"
TRACE_ROAD = "trace"


class Control(msgspec.Struct, frozen=True):
    """A broken subject that must be caught, and a twin, the same without the defect, that must not.

    `faults` are tried in turn with `params`; each of `catches` (`oracle/invariant`) must be found at least
    once. `roads` are those that can see the defect at all; on any other the control is not judged. `plan` is
    what the tap does to the broken subject alone, where the defect is the disk's and not the program's.
    """

    id: str
    title: str
    broken: str
    twin: str
    catches: tuple[str, ...]
    why: str
    faults: tuple[str, ...] = ()
    params: dict[str, Param] = {}
    roads: tuple[str, ...] = (REAL_ROAD,)
    plan: TapPlan | None = None


class Handle:
    """An open program: its connections, closed in order."""

    def __init__(self, *connections: sqlite3.Connection) -> None:
        self.connections = connections

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that writes."""
        return self.connections[0]

    def close(self) -> None:
        """Finish what is open and close."""
        for connection in self.connections:
            if connection.in_transaction:
                connection.execute("COMMIT")
            connection.close()


class OneLane:
    """A workload of one lane and one table; a subject adds `schema`, `tables` and its steps."""

    contract: Contract = Contract()
    tables: tuple[Table, ...] = ()
    checks: tuple[Check, ...] = ()
    params: Mapping[str, Param] = {"steps": 20}
    schema: str = ""
    synchronous: str = "NORMAL"

    def open(self, ctx: Context) -> Handle:
        """Open the database in WAL mode and create what is missing; a restart does the same."""
        return Handle(self.connect(ctx))

    def restart(self, ctx: Context) -> Handle:
        """Start again."""
        return self.open(ctx)

    def connect(self, ctx: Context) -> sqlite3.Connection:
        """Return a connection with the program's settings."""
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={self.synchronous}")
        connection.execute(self.schema)
        return connection

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One lane in the writer."""
        return (Lane("main"),)

    def steps(self, lane: Lane, instance: Handle, ctx: Context) -> Iterator[Step]:
        """`params["steps"]` steps."""
        for number in range(1, int(ctx.params["steps"]) + 1):
            yield self.step(number, instance)

    def step(self, number: int, handle: Handle) -> Step:
        """Return step `number`, counted from 1."""
        raise NotImplementedError
