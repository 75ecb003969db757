"""What a workload is handed in a schedule."""

import sqlite3
import threading
from collections.abc import Callable

from crashlab.writers.context import RunContext
from crashlab.writers.order import Order
from crashlab.writers.schedule.decide import Mark
from crashlab.writers.schedule.turns import Turns

__all__ = ["ScheduledContext"]

NOTES_MAX = 100


class ScheduledContext(RunContext):
    """As `RunContext`; who waits on the stepped clock lets others run, and time passes when nobody can."""

    def __init__(self, order: Order, process: int, connect: Callable[..., sqlite3.Connection], turns: Turns) -> None:
        super().__init__(order, process, connect)
        self._turns = turns
        self.moment: Callable[[], int] = lambda: 0
        self.notes: list[tuple[int, str]] = []

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """`event.wait(seconds)` on the stepped clock."""
        if not self._turns.mine:
            return super().wait(event, seconds)
        until = self.stepped.now() + seconds
        if not event.is_set():
            self._turns.wait(Mark.SLEEP, lambda: event.is_set() or self.stepped.now() >= until)
        return event.is_set()

    def note(self, text: str) -> None:
        """Put a remark in the history."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append((self.moment(), text))
