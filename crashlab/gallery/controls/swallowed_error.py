"""Control: `database is locked` is caught, and the row forgotten.

A second connection of the program holds the write lock during every fifth step. The writer's error handler
goes on as if nothing were the matter, and the step is acked. No fault is needed to show it.
"""

import sqlite3

from crashlab.gallery.controls.control import Control, Handle, OneLane
from crashlab.model.step import Effect, Step, Table
from crashlab.model.workload import Context

EVERY = 5


class Broken(OneLane):
    """Swallows the error of its insert."""

    schema = "CREATE TABLE IF NOT EXISTS fill(id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)"
    tables = (Table("fill", ("id",), ("amount",)),)
    swallows = True

    def open(self, ctx: Context) -> Handle:
        """Open the writer and the connection that gets in its way; neither waits for a lock."""
        handle = Handle(self.connect(ctx), self.connect(ctx))
        for connection in handle.connections:
            connection.execute("PRAGMA busy_timeout=0")
        return handle

    def step(self, number: int, handle: Handle) -> Step:
        """Insert one row, every fifth time against a lock."""
        writer, other = handle.connections

        def insert() -> None:
            try:
                writer.execute("INSERT INTO fill VALUES(?, ?)", (number, 100 * number))
            except sqlite3.OperationalError:
                if not self.swallows:
                    raise

        def do() -> None:
            if number % EVERY:
                insert()
                return
            other.execute("BEGIN IMMEDIATE")
            try:
                insert()
            finally:
                other.execute("ROLLBACK")

        return Step(number, (Effect("fill", (number,), (100 * number,)),), do)


class Twin(Broken):
    """Lets the error out: the step is refused, and nobody was told that the row is there."""

    swallows = False


CONTROL = Control(
    id="swallowed-error",
    title="row dropped by a swallowed error",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("durability/acked-row-lost", "order/lane-gap"),
    why=f"every {EVERY}th insert meets a lock, its error is swallowed and the step acked: the row was never there",
    faults=("none", "kill@ack#13"),
)
