"""A gate: one thing that stands before every call, told no more than which operation it is.

A listener is handed a `Call`, made for it each time. Where thousands of short runs a second pass through the tap
(schedules), that is most of their cost; a gate's functions stand in SQLite's tables themselves.
"""

from collections.abc import Callable
from typing import Any, Protocol

from crashlab.sqlite.tap.operation import Operation


class Gate(Protocol):
    """Makes the function that stands before each operation; outside all listeners.

    What it makes is called from C with the operation's raw arguments, on SQLite's own thread: it must not raise, and
    whatever it does must not need a thread that waits inside SQLite. All operations of an open file are gated, and
    open, delete, access and sleep of the VFS; `randomness` is not: SQLite holds a static mutex there, and whoever
    waited in it would stop all others.
    """

    def stand_before(self, operation: Operation, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is called in the place of `function`, and calls it."""
