"""Control: durability promised for a power loss, with `synchronous=OFF`.

With OFF SQLite hands its writes to the operating system and never waits for the disk
(https://sqlite.org/pragma.html#pragma_synchronous), so a power loss may take acked commits and tear the
file. A kill cannot show it: the page cache outlives the process. So this control is for the trace road
alone, and the real road must say that it does not judge it.
"""

from crashlab.gallery.controls.control import TRACE_ROAD, Control, Handle, OneLane
from crashlab.model.contract import Contract, Promise
from crashlab.model.step import Effect, Step, Table


class Broken(OneLane):
    """Promises everything, syncs nothing."""

    contract = Contract(power_loss={"OFF": Promise(), "FULL": Promise()})
    schema = "CREATE TABLE IF NOT EXISTS fill(id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)"
    tables = (Table("fill", ("id",), ("amount",)),)
    synchronous = "OFF"

    def step(self, number: int, handle: Handle) -> Step:
        """Insert one row."""

        def do() -> None:
            handle.connection.execute("INSERT INTO fill VALUES(?, ?)", (number, 100 * number))

        return Step(number, (Effect("fill", (number,), (100 * number,)),), do)


class Twin(Broken):
    """The same promise, kept: every commit waits for the disk."""

    synchronous = "FULL"


CONTROL = Control(
    id="off-power-loss",
    title="durability promised for power loss under synchronous=OFF",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("durability/acked-row-lost",),
    why="nothing is ever synced, so a power loss may take every acked row; a kill takes none",
    roads=(TRACE_ROAD,),
)
