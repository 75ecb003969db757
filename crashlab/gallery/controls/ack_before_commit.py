"""Control: rows are acked when they are inserted, and committed four at a time.

A group commit that answers too early. Killed between the answers and the COMMIT, acked rows are gone.
"""

from crashlab.gallery.controls.control import Control, Handle, OneLane
from crashlab.model.step import Effect, Step, Table

GROUP = 4


class Broken(OneLane):
    """Answers before the COMMIT of the row's group."""

    schema = "CREATE TABLE IF NOT EXISTS fill(id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)"
    tables = (Table("fill", ("id",), ("amount",)),)
    group = GROUP

    def step(self, number: int, handle: Handle) -> Step:
        """Insert one row."""
        connection = handle.connection

        def do() -> None:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO fill VALUES(?, ?)", (number, 100 * number))
            if number % self.group == 0:
                connection.execute("COMMIT")

        return Step(number, (Effect("fill", (number,), (100 * number,)),), do)


class Twin(Broken):
    """Commits each row before it answers."""

    group = 1


CONTROL = Control(
    id="ack-before-commit",
    title="acks before the COMMIT",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("durability/acked-row-lost",),
    why=f"rows are acked at once and committed {GROUP} at a time; killed after ack 6, rows 5 and 6 are gone",
    faults=("kill@ack#6", "kill@ack#11"),
)
