"""Control: a balance is read in one transaction and written back, changed, in another.

Each lane books amounts: it reads the balance, adds, and writes entry and new balance in one transaction. What
another lane has booked since the reading is written over; its entry is there, its amount is not in the balance.
"""

import sqlite3
from collections.abc import Iterator

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, LanesProgram, Program
from crashlab.model.history import History
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check, Context

BOOKINGS = 2


def _adds_up(_program: Program, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    booked = connection.execute("SELECT coalesce(sum(cents), 0) FROM entry").fetchone()[0]
    cents = connection.execute("SELECT cents FROM account").fetchone()[0]
    if cents != booked:
        yield f"the balance is {cents} cents, its entries add up to {booked}"


class Broken(LanesProgram):
    """Reads the balance before its transaction."""

    names = ("orders", "fees")
    schema = (
        "CREATE TABLE IF NOT EXISTS account(id INTEGER PRIMARY KEY, cents INTEGER NOT NULL)",
        "INSERT INTO account VALUES(1, 0) ON CONFLICT DO NOTHING",
        "CREATE TABLE IF NOT EXISTS entry(lane TEXT, number INTEGER, cents INTEGER, PRIMARY KEY(lane, number))",
    )
    tables = (Table("entry", ("lane", "number"), ("cents",)),)
    checks = (Check("balance-adds-up", _adds_up),)
    reads_inside = False

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """Book some amounts."""
        for number in range(1, BOOKINGS + 1):
            yield self._book(lane.name, number, instance.connections[lane.name])

    def _book(self, lane: str, number: int, connection: sqlite3.Connection) -> Step:
        amount = 100 * number if lane == "orders" else -number

        def balance() -> int:
            return int(connection.execute("SELECT cents FROM account").fetchone()[0])

        def do() -> None:
            cents = 0 if self.reads_inside else balance()
            connection.execute("BEGIN IMMEDIATE")
            if self.reads_inside:
                cents = balance()
            connection.execute("INSERT INTO entry VALUES(?, ?, ?)", (lane, number, amount))
            connection.execute("UPDATE account SET cents = ?", (cents + amount,))
            connection.execute("COMMIT")

        return Step(number, (Effect("entry", (lane, number), (amount,)),), do)


class Twin(Broken):
    """Reads the balance under the write lock."""

    reads_inside = True


CONTROL = Control(
    id="read-modify-write",
    title="read, modify, write without a transaction around them",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("books/balance-adds-up",),
    why="two lanes read the same balance; the later one writes over what the earlier one has booked",
    roads=(SCHEDULES_ROAD,),
)
