"""Control: one transfer, two transactions.

The debit commits, then the credit. Killed between the two, the money is in neither account.
"""

from crashlab.gallery.controls.control import Control, Handle, OneLane
from crashlab.model.step import Effect, Step, Table

AMOUNT = 5


class Broken(OneLane):
    """Commits each half of a transfer for itself."""

    schema = """CREATE TABLE IF NOT EXISTS entry(
        transfer INTEGER, side TEXT, amount INTEGER NOT NULL, PRIMARY KEY(transfer, side))"""
    tables = (Table("entry", ("transfer", "side"), ("amount",)),)
    commits_between = True

    def step(self, number: int, handle: Handle) -> Step:
        """Book one transfer."""
        connection = handle.connection
        halves = (("debit", -AMOUNT), ("credit", AMOUNT))

        def do() -> None:
            connection.execute("BEGIN IMMEDIATE")
            for side, amount in halves:
                if not connection.in_transaction:
                    connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO entry VALUES(?, ?, ?)", (number, side, amount))
                if self.commits_between:
                    connection.execute("COMMIT")
            if connection.in_transaction:
                connection.execute("COMMIT")

        return Step(number, tuple(Effect("entry", (number, side), (amount,)) for side, amount in halves), do)


class Twin(Broken):
    """One transfer, one transaction."""

    commits_between = False


CONTROL = Control(
    id="two-transactions",
    title="one step in two transactions",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("atomicity/torn-step",),
    why="a transfer's debit and credit commit apart; killed at the start of its second COMMIT, half of it is there",
    faults=("kill@phase=commit#6", "kill@phase=commit-ack#9"),
)
