"""Control: an owner that is only slow is declared dead, replaced, and then finishes the job a second time.

The owner beats; the reaper takes a job whose heartbeat is older than the patience, and does it. An owner that comes
back does not look whose the job is now.
"""

import sqlite3
from collections.abc import Iterator

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, LanesProgram, Program
from crashlab.model.history import History
from crashlab.model.step import Lane, Step
from crashlab.model.workload import Check, Context

PATIENCE = 2
"""Ticks. Each step of the reaper, a look at the clock, lets one pass: time is told, never read."""

BEATS = 2
LOOKS = 4


def _done_once(_program: Program, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    by = [row[0] for row in connection.execute("SELECT by FROM completion ORDER BY rowid")]
    if len(by) > 1:
        yield f"the job was done {len(by)} times, by {' and '.join(by)}"


class Broken(LanesProgram):
    """Completes the job because it once was its own."""

    names = ("owner", "reaper")
    schema = (
        "CREATE TABLE IF NOT EXISTS job(id INTEGER PRIMARY KEY, token INTEGER, beat INTEGER, done INTEGER)",
        "CREATE TABLE IF NOT EXISTS clock(now INTEGER)",
        "INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock)",
        "CREATE TABLE IF NOT EXISTS completion(by TEXT)",
    )
    checks = (Check("done-once", _done_once),)
    fenced = False

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """The owner takes the job, beats, and completes it; the reaper looks for stale jobs."""
        connection = instance.connections[lane.name]
        if lane.name == "owner":
            yield Step(1, (), lambda: _take(connection))
            for number in range(2, BEATS + 2):
                yield Step(number, (), lambda: _beat(connection))
            yield Step(BEATS + 2, (), lambda: self._complete(connection))
        else:
            for number in range(1, LOOKS + 1):
                yield Step(number, (), lambda: _reap(connection))

    def _complete(self, connection: sqlite3.Connection) -> None:
        fence = " AND token = 1 AND done = 0" if self.fenced else ""
        _finish(connection, "owner", f"UPDATE job SET done = 1 WHERE id = 1{fence}")


def _take(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO job SELECT 1, 1, now, 0 FROM clock")


def _beat(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE job SET beat = (SELECT now FROM clock) WHERE token = 1")


def _reap(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE clock SET now = now + 1")
    stale = f"(SELECT now FROM clock) - beat >= {PATIENCE}"
    _finish(connection, "reaper", f"UPDATE job SET token = token + 1, done = 1 WHERE done = 0 AND {stale}")


def _finish(connection: sqlite3.Connection, by: str, sql: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute(sql).rowcount:
        connection.execute("INSERT INTO completion VALUES(?)", (by,))
    connection.execute("COMMIT")


class Twin(Broken):
    """Completes the job only under the token that it was given with it."""

    fenced = True


CONTROL = Control(
    id="heartbeat-false-death",
    title="a slow owner is declared dead, and completes its job after its successor",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("books/done-once",),
    why="the reaper takes and does a job whose owner only stood still; the owner's late write has no fence",
    roads=(SCHEDULES_ROAD,),
)
