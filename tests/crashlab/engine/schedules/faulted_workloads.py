"""Programs of two processes that only a fault in the middle of a schedule shows to be wrong, and their twins."""

import contextlib
import sqlite3
from collections.abc import Iterator

from crashlab.gallery.controls.lanes.program import LanesProgram, Program
from crashlab.model.history import History
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check, Context

ACCOUNTS = 10


class Ledger(LanesProgram):
    """A writer in one process; in another a neighbour that writes rows of its own."""

    schema = ("CREATE TABLE IF NOT EXISTS row(lane TEXT, number INTEGER, PRIMARY KEY(lane, number))",)
    tables = (Table("row", ("lane", "number"), ()),)

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        return Lane("writer"), Lane("second"), Lane("neighbour", process=1)

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        connection = instance.connections[lane.name]
        for number in range(1, 4):
            effect = Effect("row", (lane.name, number), ())
            yield Step(number, (effect,), lambda number=number: self.insert(connection, lane.name, number))

    def insert(self, connection: sqlite3.Connection, lane: str, number: int) -> None:
        connection.execute("INSERT INTO row VALUES(?, ?)", (lane, number))


class TwoTransactions(LanesProgram):
    """Moves money in two transactions: whoever dies between them takes it along."""

    schema = (
        "CREATE TABLE IF NOT EXISTS account(name TEXT PRIMARY KEY, amount INTEGER)",
        f"INSERT OR IGNORE INTO account VALUES('a', {ACCOUNTS}), ('b', 0)",
    )
    one_transaction = False

    @property
    def checks(self) -> tuple[Check, ...]:  # type: ignore[override]
        return (Check("sum", _sum_holds),)

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        return Lane("mover"), Lane("second"), Lane("other", process=1)

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        connection = instance.connections[lane.name]
        for number in range(1, 3):
            yield Step(number, (), lambda: self._move(connection))

    def _move(self, connection: sqlite3.Connection) -> None:
        if self.one_transaction:
            connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE account SET amount = amount - 1 WHERE name = 'a'")
        connection.execute("UPDATE account SET amount = amount + 1 WHERE name = 'b'")
        if self.one_transaction:
            connection.execute("COMMIT")


class OneTransaction(TwoTransactions):
    """Moves it in one."""

    one_transaction = True


class SyncedNever(Ledger):
    """Syncs nothing, and promises what SQLite promises with FULL."""

    synchronous = "OFF"

    def connect(self, ctx: Context, *, first: bool) -> sqlite3.Connection:
        connection = super().connect(ctx, first=first)
        connection.execute(f"PRAGMA synchronous={self.synchronous}")
        return connection


class SyncedFully(SyncedNever):
    """Syncs each commit."""

    synchronous = "FULL"


class SwallowsErrors(Ledger):
    """Acks a row whose insert failed."""

    def insert(self, connection: sqlite3.Connection, lane: str, number: int) -> None:
        with contextlib.suppress(sqlite3.OperationalError):
            super().insert(connection, lane, number)


def _sum_holds(_program: Program, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    total = connection.execute("SELECT sum(amount) FROM account").fetchone()[0]
    if total != ACCOUNTS:
        yield f"there are {total} in the accounts, there were {ACCOUNTS}"


class Visits(Ledger):
    """Opens, writes and closes at each step, as short-lived programs do."""

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        for number in range(1, 4):
            effect = Effect("row", (lane.name, number), ())
            yield Step(number, (effect,), lambda number=number: self._visit(ctx, lane.name, number))

    def open(self, ctx: Context) -> Program:
        if ctx.process == 0:
            self.restart(ctx).close()
        return Program(ctx, {})

    def _visit(self, ctx: Context, lane: str, number: int) -> None:
        connection = self.connect(ctx, first=False)
        try:
            self.insert(connection, lane, number)
        finally:
            connection.close()
