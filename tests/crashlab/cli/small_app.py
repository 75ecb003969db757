"""Small subjects for the command line's own tests; copied into each test's project."""

import os
import time
from types import MappingProxyType

from crashlab.model.contract import Contract
from crashlab.model.step import Effect, Lane, Step, Table


class Handle:
    def __init__(self, connection):
        self.connection = connection

    def close(self):
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.connection.close()


class Good:
    """One row a commit, a checkpoint now and then, TRUNCATE at the end."""

    contract = Contract()
    tables = (Table("t", ("id",), ("v",), lambda key, value: value == (f"row {key[0]}",)),)
    checks = ()
    params = MappingProxyType({"steps": 24, "every": 5, "label": "plain"})
    commit_every = 1

    def open(self, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT)")
        return Handle(connection)

    restart = open

    def lanes(self, ctx):
        return (Lane("main"),)

    def steps(self, lane, instance, ctx):
        for number in range(ctx.params["steps"]):
            effects = (Effect("t", (number,), (f"row {number}",)),)
            yield Step(number, effects, lambda number=number: self.write(number, instance, ctx))

    def write(self, number, instance, ctx):
        connection = instance.connection
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES(?, ?)", (number, f"row {number}"))
        if number % self.commit_every == 0:
            connection.execute("COMMIT")
            if number % ctx.params["every"] == 0:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


class AcksTooEarly(Good):
    """Says that a row is safe, and commits it with a later one."""

    commit_every = 3


class Raises(Good):
    """Its message has what a terminal or a markup language would act on."""

    def write(self, number, instance, ctx):
        raise SystemExit(f"no such {os.sep}dir [bold red]GO[/bold red] \x1b[2J\x1b[31mred\nand a second line")


class RefusesToOpen(Good):
    def open(self, ctx):
        raise RuntimeError("the licence [red]server[/] is down \x1b[2J\nsecond line")


class Hangs(Good):
    def write(self, number, instance, ctx):
        super().write(number, instance, ctx)
        if number == 3:
            time.sleep(3600)


class HangsAtRestart(Good):
    def restart(self, ctx):
        (ctx.directory.parent / "restarting").touch()
        time.sleep(3600)


class Noisy(Good):
    """Prints whenever it can; see also the end of this module."""

    def open(self, ctx):
        print("noise when it opens", flush=True)
        return super().open(ctx)

    restart = open


class Slow(Good):
    """Long enough to be interrupted in the middle."""

    def write(self, number, instance, ctx):
        super().write(number, instance, ctx)
        time.sleep(0.002)

    """Has nothing of what a workload needs."""


class NoWorkload:
    """Has nothing of what a workload needs."""


print("noise at import", flush=True)
