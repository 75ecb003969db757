"""Control: a limit is checked in one transaction and used up in another.

Each lane counts the open positions and inserts one if there is room. Two that have counted the same number both insert.
"""

import sqlite3
from collections.abc import Iterable, Iterator

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, LanesProgram, Program
from crashlab.model.history import History
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check, Context

CAP = 3


def _cap_holds(_program: Program, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    count = connection.execute("SELECT count(*) FROM position").fetchone()[0]
    if count > CAP:
        yield f"{count} positions are open, of at most {CAP}"


class Broken(LanesProgram):
    """Counts, then inserts."""

    names = ("first", "second")
    schema = ("CREATE TABLE IF NOT EXISTS position(owner TEXT, number INTEGER, PRIMARY KEY(owner, number))",)
    tables = (Table("position", ("owner", "number"), ()),)
    checks = (Check("cap-holds", _cap_holds),)
    one_transaction = False

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """Try to open two positions: together the lanes want one more than there may be."""
        for number in (1, 2):
            yield self._open_position(lane.name, number, instance.connections[lane.name])

    def _open_position(self, owner: str, number: int, connection: sqlite3.Connection) -> Step:
        effect = Effect("position", (owner, number), ())

        def do() -> Iterable[Effect]:
            if self.one_transaction:
                connection.execute("BEGIN IMMEDIATE")
            room = connection.execute("SELECT count(*) FROM position").fetchone()[0] < CAP
            if room:
                connection.execute("INSERT INTO position VALUES(?, ?)", (owner, number))
            if self.one_transaction:
                connection.execute("COMMIT")
            return (effect,) if room else ()

        return Step(number, (effect,), do)


class Twin(Broken):
    """Counts and inserts in one transaction that has the write lock from its start."""

    one_transaction = True


CONTROL = Control(
    id="count-then-insert",
    title="a cap that is counted in one transaction and used up in another",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("books/cap-holds",),
    why="two lanes count the same number of positions, both find room, and both insert",
    roads=(SCHEDULES_ROAD,),
)
