"""What every role has: a ledger of its own, the shared clock, and a way to say what only it can see."""

import sqlite3
from collections.abc import Callable
from typing import Final, NamedTuple

from crashlab.model.step import Effect
from crashlab.model.workload import Context
from harness.workloads.run_ledger.clock import SharedClock
from harness.workloads.run_ledger.wires import Wires
from store import RunLedger

COMPLAINT: Final = "complaint "
COUNTING_IS_PASSIVE: Final = "counting-is-passive"
MEMORY_FOLLOWS_FILE: Final = "memory-follows-file"
REGISTRY_BOUNDED: Final = "registry-bounded"
RETRY_IS_HARMLESS: Final = "retry-is-harmless"
CANCEL_IS_PROMPT: Final = "cancel-is-prompt"
STALE_RUNS_END: Final = "stale-runs-end"
STARTS_TOGETHER: Final = "starts-together"


class Deed(NamedTuple):
    """A step to be: what it may do to the database, and the call that does it and returns what it did."""

    effects: tuple[Effect, ...]
    do: Callable[[], tuple[Effect, ...]]


class Role:
    """One role's handle; `reopen` makes its ledger, now and after each restart of its program."""

    def __init__(self, ctx: Context, name: str, clock: SharedClock, reopen: Callable[["Role"], RunLedger]) -> None:
        self.ctx = ctx
        self.name = name
        self.pinned: int | None = None  # the time that the ledger is told, instead of the clock's
        self.lives = 0
        self.wires = Wires(ctx, name)
        self._clock = clock
        self._reopen = reopen
        self.ledger = reopen(self)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that the ledger writes through, to look at what it did."""
        return self.wires.connection

    def now(self) -> int:
        """The time, as the ledger is told."""
        return self._clock() if self.pinned is None else self.pinned

    def jump(self, seconds: float) -> None:
        """Let time pass for all roles."""
        self._clock.jump(seconds)

    def restart(self) -> None:
        """The program ends and starts again."""
        try:
            self.ledger.close()
        except BaseException:  # a hang-up's handler raised in the middle of it, and a second close() is a no-op
            self.connection.close()
            raise
        self.ledger = self._reopen(self)

    def complain(self, invariant: str, text: str) -> None:
        """Put what this role alone has seen into the log."""
        self.ctx.note(f"{COMPLAINT}{invariant}: {self.name}: {text}")
