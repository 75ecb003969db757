"""Control: a backup loop that copies the files of a live database, one after the other.

A checkpoint between the copy of the main file and the copy of the WAL, and a commit that starts the WAL anew, leave a
backup in which acked rows are missing, or one that is damaged.
"""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, LanesProgram, Program
from crashlab.model.history import History
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check, Context

ROWS = 3
BACKUPS = 2
PAUSE_S = 0.001


def _backups_whole(program: Program, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """Each backup opens, is well-formed, and holds what was committed when it began."""
    for number, newest in connection.execute("SELECT number, newest FROM backup ORDER BY number").fetchall():
        due = {row[0] for row in connection.execute("SELECT number FROM sample WHERE number <= ?", (newest,))}
        try:
            with closing(sqlite3.connect(_place(program.ctx, number))) as copy:
                checked = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
                missing = sorted(due - {row[0] for row in copy.execute("SELECT number FROM sample")})
        except sqlite3.DatabaseError as error:
            yield f"backup {number}: {error}"
            continue
        if checked != "ok":
            yield f"backup {number}: {checked}"
        if missing:
            yield f"backup {number} is without sample {missing[0]}, which was there when it began"


def _place(ctx: Context, number: int) -> Path:
    return ctx.directory / f"backup{number}.db"


class Broken(LanesProgram):
    """Copies main file and WAL, with a pause between them so as not to be in anybody's way."""

    names = ("writer", "backup")
    schema = (
        "CREATE TABLE IF NOT EXISTS sample(number INTEGER PRIMARY KEY, note TEXT)",
        "CREATE TABLE IF NOT EXISTS backup(number INTEGER PRIMARY KEY, newest INTEGER)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    )
    tables = (Table("sample", ("number",), ("note",)),)
    checks = (Check("backups-whole", _backups_whole),)
    copies_files = True

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """The writer commits rows and checkpoints; the loop makes backups."""
        connection = instance.connections[lane.name]
        if lane.name == "writer":
            for number in range(1, ROWS + 1):
                yield _sample(2 * number - 1, number, connection)
                yield Step(2 * number, (), lambda: _checkpoint(connection))
            return
        for number in range(1, BACKUPS + 1):
            yield Step(number, (), lambda number=number: self._back_up(number, connection, ctx))  # type: ignore[misc]

    def _back_up(self, number: int, connection: sqlite3.Connection, ctx: Context) -> None:
        newest = connection.execute("SELECT coalesce(max(number), 0) FROM sample").fetchone()[0]
        place = _place(ctx, number)
        if self.copies_files:
            shutil.copyfile(ctx.database, place)
            time.sleep(PAUSE_S)
            shutil.copyfile(f"{ctx.database}-wal", f"{place}-wal")
        else:
            with closing(sqlite3.connect(place)) as copy:
                connection.backup(copy)
        connection.execute("INSERT INTO backup VALUES(?, ?)", (number, newest))


def _sample(seq: int, number: int, connection: sqlite3.Connection) -> Step:
    def do() -> None:
        connection.execute("INSERT INTO sample VALUES(?, 'sample')", (number,))

    return Step(seq, (Effect("sample", (number,), ("sample",)),), do)


def _checkpoint(connection: sqlite3.Connection) -> None:
    # TRUNCATE takes the writer's lock first: on no version does the WAL-reset bug get in the way of this control.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class Twin(Broken):
    """Lets SQLite make the copy: `Connection.backup` reads one snapshot."""

    copies_files = False


CONTROL = Control(
    id="file-copy-backup",
    title="a backup loop that copies the files of a live database",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("books/backups-whole",),
    why="between the copies of main file and WAL the writer checkpoints and starts the WAL anew",
    roads=(SCHEDULES_ROAD,),
)
