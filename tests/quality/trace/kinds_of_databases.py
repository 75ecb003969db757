"""One honest program on databases of every kind; and one that promises too much of a rollback journal."""

import sqlite3
from typing import ClassVar

from crashlab.model.contract import Contract, Durability, Promise
from crashlab.model.step import Effect, Lane, Step, Table


class Handle:
    def __init__(self, connection):
        self.connection = connection

    def close(self):
        self.connection.close()


class Kinds:
    contract = Contract()
    tables = (Table("t", ("id",), ("v",)),)
    checks = ()
    params: ClassVar = {
        "steps": 12,
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "page_size": 4096,
        "encoding": "UTF-8",
        "auto_vacuum": "NONE",
        "attach": False,
    }

    def open(self, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None)
        for name in ("page_size", "encoding", "auto_vacuum", "journal_mode", "synchronous"):
            connection.execute(f"PRAGMA {name}='{ctx.params[name]}'")
        connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT)")
        if ctx.params["attach"]:
            connection.execute("ATTACH ? AS side", (str(ctx.database) + ".side",))
            connection.execute(f"PRAGMA side.journal_mode='{ctx.params['journal_mode']}'")
            connection.execute("CREATE TABLE IF NOT EXISTS side.u(id INTEGER PRIMARY KEY)")
        return Handle(connection)

    restart = open

    def lanes(self, ctx):
        return (Lane("main"),)

    def steps(self, lane, instance, ctx):
        execute = instance.connection.execute
        for number in range(1, int(ctx.params["steps"]) + 1):
            value = f"häß{number}" * (300 if number % 4 == 0 else 1)

            def do(number=number, value=value):
                try:
                    execute("BEGIN IMMEDIATE")
                    execute("INSERT INTO t VALUES(?, ?)", (number, value))
                    if ctx.params["attach"]:
                        execute("INSERT INTO side.u VALUES(?)", (number,))
                    if number == 6:
                        execute("DELETE FROM t WHERE id = 2")
                    execute("COMMIT")
                except sqlite3.Error:
                    if instance.connection.in_transaction:
                        execute("ROLLBACK")
                    raise

            effects = [Effect("t", (number,), (value,))]
            if number == 6:
                effects.append(Effect("t", (2,), None))
            yield Step(number, tuple(effects), do)


class PromisesTooMuch(Kinds):
    """No sync at all, and yet every ack is said to survive a power loss."""

    contract = Contract(power_loss={"OFF": Promise(Durability.ALL)})


kinds = Kinds()
promises_too_much = PromisesTooMuch()
