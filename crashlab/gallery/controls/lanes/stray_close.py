"""Control: a stray close of the database file in one lane, beside a process that closes in good order.

The writer's process also copies the three files, as a home-made backup does. Its close drops the kernel's locks of
the whole process. A neighbour, another process that opens, writes and closes, then believes itself the last, copies
the WAL into the main file and deletes it under the writer, whose later commits go into a file without a name.
https://sqlite.org/howtocorrupt.html, section 2.2.
"""

from collections.abc import Iterator
from pathlib import Path

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, Program, SamplesProgram
from crashlab.model.step import Effect, Lane, Step
from crashlab.model.workload import Context

ROWS = 3
VISITS = 2
_FILES = ("", "-wal", "-shm")


class Broken(SamplesProgram):
    """Reads the bytes of a database that its own process has open."""

    stray = True

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """The writer and the copier in one process, the neighbour in another: locks belong to a process."""
        return Lane("writer"), Lane("copier"), Lane("neighbour", process=1)

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """The writer opens, writes and closes once, the neighbour at each visit."""
        if lane.name == "copier":
            yield Step(1, (), lambda: self._copy(ctx.database))
        elif lane.name == "neighbour":
            for number in range(1, VISITS + 1):
                yield _sample(lane.name, number, instance, closes=True)
        else:
            for number in range(1, ROWS + 1):
                yield _sample(lane.name, number, instance, closes=number == ROWS)

    def _copy(self, database: Path) -> None:
        for suffix in _FILES:
            path = Path(f"{database}{suffix}")
            if not path.exists():
                continue
            if self.stray:
                path.read_bytes()
            else:
                path.stat()


def _sample(lane: str, number: int, program: Program, *, closes: bool) -> Step:
    def do() -> None:
        ctx = program.ctx
        if lane not in program.connections:
            program.connections[lane] = ctx.connect(ctx.database, isolation_level=None, check_same_thread=False)
        connection = program.connections[lane]
        connection.execute("INSERT INTO sample VALUES(?, ?)", (lane, number))
        if closes:
            program.connections.pop(lane).close()

    return Step(number, (Effect("sample", (lane, number), ()),), do)


class Twin(Broken):
    """Looks at the files by their names only."""

    stray = False


CONTROL = Control(
    id="stray-close",
    title="a stray close cancels the process's locks beside a closing neighbour",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("schedule/lost-locks", "durability/acked-row-lost"),
    why="the copier's close drops the writer's locks; the neighbour deletes the WAL under the writer",
    roads=(SCHEDULES_ROAD,),
)
