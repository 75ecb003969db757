"""Holding one connection inside a call while the others go on."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from crashlab.errors import LimitError
from crashlab.sqlite.tap.call import Call
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.selector import Selector, Trip

if TYPE_CHECKING:
    from crashlab.sqlite.tap.tap import Tap


class Pauser(Listener):
    """Holds the thread that makes the call which a selector names, inside SQLite and with all its locks.

    `only(call)`: narrows the choice, to one thread or connection (`call.thread`, `call.file.address`).
    `seconds_max`: not released by then, it goes on, and the tap reports a LimitError.
    """

    def __init__(
        self,
        selector: Selector,
        *,
        only: Callable[[Call], bool] | None = None,
        seconds_max: float = 10.0,
    ) -> None:
        self.operations = frozenset({selector.operation})
        self.trip = Trip(selector)
        self._only = only
        self._seconds_max = seconds_max
        self._reached = threading.Event()
        self._released = threading.Event()

    def before(self, call: Call) -> int | None:
        """Hold at a selector that means before the call."""
        if not self.trip.selector.after:
            self._hold(call)
        return None

    def after(self, call: Call, rc: int) -> None:
        """Hold at a selector that means after the call."""
        if self.trip.selector.after:
            self._hold(call)

    def wait_reached(self, seconds: float = 10.0) -> bool:
        """Wait until somebody is held; whether it came to that in time."""
        return self._reached.wait(seconds)

    def release(self) -> None:
        """Let the held one go on; if it hasn't come yet, it will not be held."""
        self._released.set()

    def detached(self, tap: "Tap") -> None:
        """Nobody stays held when the tap is removed."""
        self._released.set()

    def _hold(self, call: Call) -> None:
        if (self._only is not None and not self._only(call)) or not self.trip.due(call):
            return
        self._reached.set()
        if not self._released.wait(self._seconds_max):
            raise LimitError(
                f"pause at {self.trip.selector}: not released within {self._seconds_max} s; "
                "does the one who should release it wait for the one who is held?"
            )
