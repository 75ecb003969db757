"""Control: two openers migrate, and one dies of the lost race.

Each opens the database, looks whether a column is there, and adds it if not. Two that both find it missing both add
it: the start of one fails with `duplicate column name`.
"""

import sqlite3
from collections.abc import Iterator

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, LanesProgram, Program
from crashlab.model.history import History, StepState
from crashlab.model.step import Lane, Step
from crashlab.model.workload import Check, Context


def _starts(_program: Program, _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    for step in history.steps:
        if step.state is StepState.REFUSED and "duplicate column" in step.error:
            yield f"{step.lane} could not start: {step.error}"


class Broken(LanesProgram):
    """Looks and alters in two transactions."""

    names = ("first", "second")
    schema = ("CREATE TABLE IF NOT EXISTS run(id INTEGER PRIMARY KEY, status TEXT)",)
    checks = (Check("both-start", _starts),)
    one_transaction = False

    def open(self, ctx: Context) -> Program:
        """The file of the release before; the lanes open it themselves."""
        program = self.restart(ctx)
        program.close()
        return Program(ctx, {})

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """Open and migrate, all of it in one step."""
        yield Step(1, (), lambda: self._start(ctx))

    def _start(self, ctx: Context) -> None:
        connection = self.connect(ctx, first=False)
        try:
            if self.one_transaction:
                connection.execute("BEGIN IMMEDIATE")
            if "fence" not in [row[1] for row in connection.execute("PRAGMA table_info(run)").fetchall()]:
                connection.execute("ALTER TABLE run ADD COLUMN fence INTEGER")
            if self.one_transaction:
                connection.execute("COMMIT")
        finally:
            connection.close()


class Twin(Broken):
    """Looks and alters in one transaction that has the write lock from its start."""

    one_transaction = True


CONTROL = Control(
    id="alter-loses-race",
    title="an ALTER TABLE that dies of the lost race",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("books/both-start",),
    why="two openers find the column missing and both add it; one start fails",
    roads=(SCHEDULES_ROAD,),
)
