"""Phase marks in the log, and the crash point that counts them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crashlab.log.writer import LogWriter
from crashlab.model.phase import MARK_CHECKPOINT, MARK_CLOSE, MARK_COMMIT, Phase
from crashlab.writers.order import Moment, Trigger


class Marks:
    """Writes the marks and lets the fault loose when its moment has been counted out.

    `fire(trigger)` is called at most once, on the thread that reached the moment, after the log says so.
    """

    def __init__(self, log: LogWriter, trigger: Trigger | None, fire: Callable[[Trigger], None]) -> None:
        self.log = log
        self._trigger = trigger
        self._fire = fire
        self._left = trigger.n if trigger else 0
        self._phase = trigger.phase if trigger and trigger.moment is Moment.PHASE else ""
        self._acks = trigger is not None and trigger.moment is Moment.ACK
        self.fired = False
        self._lock = threading.Lock()
        self._closing = False
        self._in_step = threading.local()

    def current_phase(self) -> str:
        """The innermost marked phase that the calling thread is in, '' for none."""
        stack: list[str] = getattr(self._in_step, "stack", [])
        return stack[-1] if stack else ""

    def start(self) -> None:
        """The process has begun; nothing of the program has run yet."""
        if self._trigger is not None and self._trigger.moment is Moment.START:
            self._count()

    def step_begins(self) -> None:
        """The calling thread is inside a step from now on."""
        self._in_step.on = True

    def acked(self) -> None:
        """A step was acked (its record is in the log already)."""
        self._in_step.on = False
        if self._acks:
            self._count()

    def enter(self, mark: str, detail: str = "") -> None:
        """The calling thread enters a marked phase."""
        self.log.enter(mark, detail)
        self._stack().append(mark)
        if mark == MARK_CLOSE:
            self._closing = True
        if self._phase and self._phase == self._entered(mark, detail):
            self._count()

    def leave(self, mark: str, detail: str = "") -> None:
        """The calling thread leaves a marked phase."""
        self.log.leave(mark, detail)
        stack = self._stack()
        if mark in stack:
            stack.remove(mark)
        if self._phase and self._phase == self._left_behind(mark, detail):
            self._count()

    @contextmanager
    def inside(self, mark: str, detail: str = "") -> Iterator[None]:
        """Enter and leave a marked phase around a block."""
        self.enter(mark, detail)
        try:
            yield
        finally:
            self.leave(mark, detail)

    def _stack(self) -> list[str]:
        try:
            stack: list[str] = self._in_step.stack
        except AttributeError:
            stack = self._in_step.stack = []
        return stack

    def _entered(self, mark: str, detail: str) -> str:
        if mark == MARK_CLOSE:
            return Phase.CLOSE_BEFORE
        if mark == MARK_CHECKPOINT and self._closing:
            return Phase.CLOSE_TRUNCATE if detail.startswith("TRUNCATE") else ""
        if mark == MARK_COMMIT and not getattr(self._in_step, "on", False):
            return ""
        return mark

    def _left_behind(self, mark: str, detail: str) -> str:
        if mark == MARK_CHECKPOINT and self._closing and detail.startswith("TRUNCATE"):
            return Phase.CLOSE_AFTER
        if mark == MARK_COMMIT and getattr(self._in_step, "on", False):
            return Phase.COMMIT_ACK
        return ""

    def _count(self) -> None:
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due and self._trigger is not None:
            self.fired = True
            self.log.fired(self._trigger.action)
            self._fire(self._trigger)
