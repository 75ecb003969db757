"""What the controls with several lanes share: a program with a connection for each lane."""

import sqlite3
from collections.abc import Iterator, Mapping

from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.step import Lane, Step, Table
from crashlab.model.workload import Check, Context

__all__ = ["SCHEDULES_ROAD", "LanesProgram", "Program", "SamplesProgram"]

SCHEDULES_ROAD = "schedules"
"""The only road that shows what these get wrong: run one after another, their lanes are correct."""


class Program:
    """An open program: the connection of each lane."""

    def __init__(self, ctx: Context, connections: dict[str, sqlite3.Connection]) -> None:
        self.ctx = ctx
        self.connections = connections

    def close(self) -> None:
        """Close the connections, in the order of their lanes."""
        for connection in self.connections.values():
            connection.close()


class LanesProgram:
    """A workload of several lanes over one database in WAL mode.

    A subject adds `names`, `schema`, `tables`, perhaps `checks`, and its steps. Statements commit themselves
    outside BEGIN and COMMIT; a lock is waited for as long as Python's `sqlite3` does by itself, 5 s.
    """

    contract: Contract = Contract()
    tables: tuple[Table, ...] = ()
    checks: tuple[Check, ...] = ()
    params: Mapping[str, Param] = {}
    schema: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def open(self, ctx: Context) -> Program:
        """Open a connection for each lane of this process; the first one makes what is missing."""
        program = Program(ctx, {})
        for lane in self.lanes(ctx):
            if lane.process == ctx.process:
                program.connections[lane.name] = self.connect(ctx, first=not program.connections)
        return program

    def restart(self, ctx: Context) -> Program:
        """Start again, with one connection."""
        return Program(ctx, {"restarted": self.connect(ctx, first=True)})

    def connect(self, ctx: Context, *, first: bool) -> sqlite3.Connection:
        """Return a connection that any thread may use."""
        connection = ctx.connect(ctx.database, isolation_level=None, check_same_thread=False)
        if first:
            connection.execute("PRAGMA journal_mode=WAL")
            for statement in self.schema:
                connection.execute(statement)
        return connection

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """All lanes in one process."""
        return tuple(Lane(name) for name in self.names)

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """The steps of a lane."""
        raise NotImplementedError


class SamplesProgram(LanesProgram):
    """Numbered samples of each lane; the lanes open the database when they need it, and the first process makes it."""

    schema = ("CREATE TABLE IF NOT EXISTS sample(lane TEXT, number INTEGER, PRIMARY KEY(lane, number))",)
    tables = (Table("sample", ("lane", "number"), ()),)

    def open(self, ctx: Context) -> Program:
        """Make the file and close it again."""
        if ctx.process == 0:
            self.restart(ctx).close()
        return Program(ctx, {})
