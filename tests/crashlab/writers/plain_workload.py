"""A small honest workload for the lab's own tests: one table, one row a commit."""

import sqlite3
from collections.abc import Iterator
from typing import ClassVar

from crashlab.model.contract import Contract
from crashlab.model.step import Effect, Lane, Step, Table


class Handle:
    def __init__(self, connection):
        self.connection = connection

    def close(self):
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()


class Plain:
    contract = Contract()
    tables = (Table("t", ("id",), ("v",), lambda key, value: value == (f"row {key[0]}",)),)
    checks = ()
    params: ClassVar = {"steps": 50, "checkpoint_every": 0}

    def open(self, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT)")
        return Handle(connection)

    restart = open

    def lanes(self, ctx):
        return (Lane("main"),)

    def steps(self, lane, instance, ctx) -> Iterator[Step]:
        connection: sqlite3.Connection = instance.connection
        for number in range(int(ctx.params.get("steps", 50))):

            def do(number=number):
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("INSERT INTO t VALUES(?, ?)", (number, f"row {number}"))
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                every = int(ctx.params.get("checkpoint_every", 0))
                if every and number % every == every - 1:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

            yield Step(number, (Effect("t", (number,), (f"row {number}",)),), do)


plain = Plain()
