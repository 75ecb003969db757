"""Control: a cancel is overwritten by a late update of the whole row.

The worker reads its job, works, and writes the row back, all of it, with the status that it read. A cancel that was
acked in between is undone.
"""

import sqlite3
from collections.abc import Iterable, Iterator

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, LanesProgram, Program
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Context

JOB = 1
UPDATES = 2
RUNNING = Effect("job_status", (JOB,), ("running",))
CANCELLED = Effect("job_status", (JOB,), ("cancelled",))


class Broken(LanesProgram):
    """Saves a job as an object mapper does that knows of no dirty columns."""

    names = ("worker", "canceller")
    schema = (
        "CREATE TABLE IF NOT EXISTS job(id INTEGER PRIMARY KEY, status TEXT NOT NULL, progress INTEGER NOT NULL)",
        # The two columns have different writers, so the oracles look at each alone.
        "CREATE VIEW IF NOT EXISTS job_status AS SELECT id, status FROM job",
        "CREATE VIEW IF NOT EXISTS job_progress AS SELECT id, progress FROM job",
    )
    tables = (Table("job_status", ("id",), ("status",)), Table("job_progress", ("id",), ("progress",)))
    whole_row = True

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """The worker starts a job and goes on with it; the canceller tries to cancel it, twice."""
        connection = instance.connections[lane.name]
        if lane.name == "worker":
            yield _start(connection)
            for number in range(1, UPDATES + 1):
                yield self._work(number, connection)
        else:
            for number in (1, 2):
                yield _cancel(number, connection)

    def _work(self, number: int, connection: sqlite3.Connection) -> Step:
        effect = Effect("job_progress", (JOB,), (number,))

        def do() -> Iterable[Effect]:
            if self.whole_row:
                row = connection.execute("SELECT status FROM job").fetchone()
                if row != ("running",):
                    return ()
                saved = connection.execute("UPDATE job SET status = ?, progress = ?", (row[0], number))
            else:
                saved = connection.execute("UPDATE job SET progress = ? WHERE status = 'running'", (number,))
            return (effect,) if saved.rowcount else ()

        return Step(number + 1, (effect,), do)


def _start(connection: sqlite3.Connection) -> Step:
    def do() -> None:
        connection.execute("INSERT INTO job VALUES(?, 'running', 0)", (JOB,))

    return Step(1, (RUNNING, Effect("job_progress", (JOB,), (0,))), do)


def _cancel(number: int, connection: sqlite3.Connection) -> Step:
    def do() -> Iterable[Effect]:
        changed = connection.execute("UPDATE job SET status = 'cancelled' WHERE status = 'running'").rowcount
        return (CANCELLED,) if changed else ()

    return Step(number, (CANCELLED,), do)


class Twin(Broken):
    """Writes the one column that is its own, and only while the job runs."""

    whole_row = False


CONTROL = Control(
    id="cancel-clobber",
    title="a cancel overwritten by a late update of the whole row",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("durability/acked-update-lost",),
    why="the worker writes back the status that it read before the cancel was acked",
    roads=(SCHEDULES_ROAD,),
)
