"""Control: two lanes use one connection, and with it one transaction, without a lock of their own.

One lane books transfers of two halves. The other takes an order down, finds that it may not, and rolls back; on one
connection that takes with it what the first lane had done by then. The rest of the transfer is committed and acked.
"""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD, LanesProgram, Program
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Context

STEPS = 2
AMOUNT = 5
_INSERT = "INSERT INTO entry VALUES(?, ?, ?)"


class Shared(Program):
    """One connection with Python's implicit transactions, for whoever comes, and the lock that should go with it."""

    def __init__(self, ctx: Context) -> None:
        self.connection = ctx.connect(ctx.database, check_same_thread=False)
        self.lock = threading.Lock()
        super().__init__(ctx, {"shared": self.connection})


class Broken(LanesProgram):
    """Leaves the lock alone: `sqlite3` was told that any thread may come, and each call is safe by itself."""

    names = ("transfers", "orders")
    schema = ("CREATE TABLE IF NOT EXISTS entry(number INTEGER, side TEXT, cents INTEGER, PRIMARY KEY(number, side))",)
    tables = (Table("entry", ("number", "side"), ("cents",)),)
    locked = False

    def open(self, ctx: Context) -> Program:
        """Open the one connection."""
        program = Shared(ctx)
        program.connection.execute("PRAGMA journal_mode=WAL")
        for statement in self.schema:
            program.connection.execute(statement)
        return program

    def restart(self, ctx: Context) -> Program:
        """Start again."""
        return self.open(ctx)

    def steps(self, lane: Lane, instance: Program, ctx: Context) -> Iterator[Step]:
        """Book transfers, or refuse orders."""
        assert isinstance(instance, Shared)
        step = self._transfer if lane.name == "transfers" else self._refused_order
        for number in range(1, STEPS + 1):
            yield step(number, instance)

    def _own(self, shared: Shared) -> AbstractContextManager[object]:
        return shared.lock if self.locked else contextlib.nullcontext()

    def _transfer(self, number: int, shared: Shared) -> Step:
        halves = (("debit", -AMOUNT), ("credit", AMOUNT))

        def do() -> None:
            with self._own(shared):
                for side, cents in halves:
                    shared.connection.execute(_INSERT, (number, side, cents))
                shared.connection.commit()

        return Step(number, tuple(Effect("entry", (number, side), (cents,)) for side, cents in halves), do)

    def _refused_order(self, number: int, shared: Shared) -> Step:
        def do() -> None:
            with self._own(shared):
                shared.connection.execute(_INSERT, (-number, "order", AMOUNT))
                shared.connection.rollback()

        return Step(number, (), do)


class Twin(Broken):
    """Holds the program's lock from the first statement of a transaction to its end."""

    locked = True


CONTROL = Control(
    id="shared-connection",
    title="one connection used by two lanes without the program's own lock",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("durability/acked-row-lost",),
    why="one lane's rollback takes with it what the other lane has done in the transaction that they share",
    roads=(SCHEDULES_ROAD,),
)
