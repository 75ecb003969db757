"""Control: a disk that says a checkpoint's sync is done and has not done it.

A checkpoint syncs the main file before the WAL may be written from its start again
(https://sqlite.org/wal.html#ckpt). If that sync is a lie, a power loss can keep the new frames and lose the
pages that only the main file had.
"""

from crashlab.gallery.controls.control import TRACE_ROAD, Control, Handle, OneLane
from crashlab.model.step import Effect, Step, Table
from crashlab.writers.order import TapPlan

CHECKPOINT_EVERY = 4


class Subject(OneLane):
    """Inserts rows and checkpoints, every commit synced."""

    schema = "CREATE TABLE IF NOT EXISTS fill(id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)"
    tables = (Table("fill", ("id",), ("amount",)),)
    synchronous = "FULL"

    def step(self, number: int, handle: Handle) -> Step:
        """Insert one row; every fourth time move the WAL into the main file."""

        def do() -> None:
            handle.connection.execute("INSERT INTO fill VALUES(?, ?)", (number, 100 * number))
            if number % CHECKPOINT_EVERY == 0:
                handle.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

        return Step(number, (Effect("fill", (number,), (100 * number,)),), do)


CONTROL = Control(
    id="unsynced-checkpoint",
    title="a disk that lies about the sync of a checkpoint",
    broken=f"{__name__}:Subject",
    twin=f"{__name__}:Subject",
    catches=("durability/acked-row-lost",),
    why="the WAL is written anew while what it held is not yet on the disk",
    roads=(TRACE_ROAD,),
    plan=TapPlan(selector="main.sync", failure="dropped", persistent=True),
)
