"""What a workload is handed in a schedule."""

import sqlite3
import threading
from collections.abc import Callable
from typing import Protocol

from crashlab.writers.context import RunContext
from crashlab.writers.order import Order
from crashlab.writers.schedule.decide import Mark

__all__ = ["ScheduledContext", "WaitingContext"]

NOTES_MAX = 100


class Waits(Protocol):
    """The turns of a schedule, as far as a context needs them: `Turns`, or those of processes."""

    @property
    def mine(self) -> bool:
        """Whether the caller is an actor whose turn it is."""

    def wait(self, mark: Mark, ready: Callable[[], bool] | None = None, *, timed: bool = True) -> bool:
        """Let others run until `ready()`."""


class WaitingContext(RunContext):
    """As `RunContext`; who waits on the stepped clock lets others run, and time passes when nobody can."""

    def __init__(self, order: Order, process: int, connect: Callable[..., sqlite3.Connection], turns: Waits) -> None:
        super().__init__(order, process, connect)
        self._waits = turns

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """`event.wait(seconds)` on the stepped clock."""
        if not self._waits.mine:
            return super().wait(event, seconds)
        until = self.stepped.now() + seconds
        if not event.is_set():
            self._waits.wait(Mark.SLEEP, lambda: event.is_set() or self.stepped.now() >= until)
        return event.is_set()


class ScheduledContext(WaitingContext):
    """That of threads; it keeps the program's remarks."""

    def __init__(self, order: Order, process: int, connect: Callable[..., sqlite3.Connection], turns: Waits) -> None:
        super().__init__(order, process, connect, turns)
        self.moment: Callable[[], int] = lambda: 0
        self.notes: list[tuple[int, str]] = []

    def note(self, text: str) -> None:
        """Put a remark in the history."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append((self.moment(), text))
