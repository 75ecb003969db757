"""The workloads of the state benches: two-statement commits on a table with an index; small commits."""

import sqlite3
from collections.abc import Iterator, Mapping

from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check, Context

PAD = "x" * 80


class Handle:
    """The program's one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def close(self) -> None:
        """Close it."""
        self.connection.close()


class Ledger:
    """Each step inserts a row and sets the counter, in one transaction."""

    contract = Contract()
    tables: tuple[Table, ...] = (Table("entry", ("id",), ("name",)), Table("counter", ("id",), ("n",)))
    checks: tuple[Check, ...] = ()
    params: Mapping[str, Param] = {"steps": 500, "synchronous": "FULL", "wal_autocheckpoint": 250}

    def open(self, ctx: Context) -> Handle:
        """Open in WAL mode and create what is missing; a restart does the same."""
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={ctx.params['synchronous']}")
        connection.execute(f"PRAGMA wal_autocheckpoint={int(ctx.params['wal_autocheckpoint'])}")
        connection.execute("CREATE TABLE IF NOT EXISTS entry(id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        connection.execute("CREATE INDEX IF NOT EXISTS entry_name ON entry(name)")
        connection.execute("CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
        return Handle(connection)

    def restart(self, ctx: Context) -> Handle:
        """Start again."""
        return self.open(ctx)

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One lane."""
        return (Lane("main"),)

    def steps(self, lane: Lane, instance: Handle, ctx: Context) -> Iterator[Step]:
        """`params["steps"]` steps."""
        execute = instance.connection.execute
        for number in range(1, int(ctx.params["steps"]) + 1):
            name = f"{number * 7919 % 100_003:06d}{PAD}"

            def do(number: int = number, name: str = name) -> None:
                execute("BEGIN IMMEDIATE")
                execute("INSERT INTO entry VALUES(?, ?)", (number, name))
                execute("INSERT INTO counter VALUES(1, ?) ON CONFLICT(id) DO UPDATE SET n = excluded.n", (number,))
                execute("COMMIT")

            yield Step(number, (Effect("entry", (number,), (name,)), Effect("counter", (1,), (number,))), do)


class Commits(Ledger):
    """One small row a commit: what recording costs most of, for each byte written."""

    tables = (Table("entry", ("id",), ("name",)),)

    def open(self, ctx: Context) -> Handle:
        """Open in WAL mode and create the table."""
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={ctx.params['synchronous']}")
        connection.execute("CREATE TABLE IF NOT EXISTS entry(id INTEGER PRIMARY KEY, name BLOB NOT NULL)")
        return Handle(connection)

    def steps(self, lane: Lane, instance: Handle, ctx: Context) -> Iterator[Step]:
        """`params["steps"]` steps."""
        execute = instance.connection.execute
        for number in range(1, int(ctx.params["steps"]) + 1):
            name = b"%06d" % number * 10

            def do(number: int = number, name: bytes = name) -> None:
                execute("BEGIN")
                execute("INSERT INTO entry VALUES(?, ?)", (number, name))
                execute("COMMIT")

            yield Step(number, (Effect("entry", (number,), (name,)),), do)


ledger = Ledger()
commits = Commits()
