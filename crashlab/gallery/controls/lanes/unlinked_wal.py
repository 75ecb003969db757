"""Control: a cleaner that removes the WAL and the wal-index which it takes for leftovers.

A program that opens the database afterwards makes new ones, and writes them beside a connection that goes on writing
the old. https://sqlite.org/howtocorrupt.html, section 1.4.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, Program, SamplesProgram
from crashlab.model.step import Effect, Lane, Step
from crashlab.model.workload import Context

ROWS = 3


class Broken(SamplesProgram):
    """Removes what lies beside the database before it opens it, whoever may be there."""

    removes = True

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """A writer, and a second program that visits, each a process of its own."""
        return Lane("writer"), Lane("visitor", process=1)

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """The writer opens, writes and closes; the visitor tidies up and adds a row."""
        if lane.name == "visitor":
            yield _sample(lane.name, 1, lambda: self._visit(ctx))
            return
        for number in range(1, ROWS + 1):
            yield _sample(lane.name, number, lambda number=number: self._write(instance, number))

    def _write(self, program: Program, number: int) -> None:
        if number == 1:
            program.connections["writer"] = self.connect(program.ctx, first=False)
        _insert(program.connections["writer"], "writer", number)
        if number == ROWS:
            program.connections.pop("writer").close()

    def _visit(self, ctx: Context) -> None:
        if self.removes:
            for suffix in ("-wal", "-shm"):
                Path(f"{ctx.database}{suffix}").unlink(missing_ok=True)
        with closing(self.connect(ctx, first=False)) as connection:
            _insert(connection, "visitor", 1)


def _insert(connection: sqlite3.Connection, lane: str, number: int) -> None:
    connection.execute("INSERT INTO sample VALUES(?, ?)", (lane, number))


def _sample(lane: str, number: int, do: object) -> Step:
    return Step(number, (Effect("sample", (lane, number), ()),), do)  # type: ignore[arg-type]


class Twin(Broken):
    """Leaves SQLite's files to SQLite."""

    removes = False


CONTROL = Control(
    id="unlinked-wal",
    title="a program that removes a WAL which it takes for a leftover",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("schedule/wal-generations", "durability/acked-row-lost"),
    why="the writer goes on in a WAL without a name, the visitor in a new one, and one of them is deleted",
    roads=(SCHEDULES_ROAD,),
)
