"""Two small programs for the plugin's tests: one keeps its promise, one acks before it commits."""

import time
from types import MappingProxyType

from crashlab import Contract, Effect, Lane, Step, Table


class Handle:
    def __init__(self, connection):
        self.connection = connection

    def close(self):
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()


class Good:
    contract = Contract()
    tables = (Table("t", ("id",), ("v",)),)
    checks = ()
    params = MappingProxyType({"steps": 25, "checkpoint_every": 0, "sleep_s": 0.0})
    group = 1

    def open(self, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT)")
        return Handle(connection)

    restart = open

    def lanes(self, ctx):
        return (Lane("main"),)

    def steps(self, lane, instance, ctx):
        connection = instance.connection
        every = ctx.params["checkpoint_every"]

        def do(number):
            time.sleep(ctx.params["sleep_s"])
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO t VALUES(?, ?)", (number, f"row {number}"))
            if number % self.group == 0:
                connection.execute("COMMIT")
                if every and number % every == 0:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

        for number in range(1, ctx.params["steps"] + 1):
            yield Step(number, (Effect("t", (number,), (f"row {number}",)),), lambda number=number: do(number))


class Broken(Good):
    group = 4
