"""What listens at the tap, and how several listeners make one chain."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crashlab.sqlite.tap.call import Call
    from crashlab.sqlite.tap.operation import Operation
    from crashlab.sqlite.tap.tap import Tap


class Listener:
    """Base of all listeners: one that hears nothing.

    `operations`: those it wants to hear of; no other call is slowed down for its sake. Methods run on
    SQLite's own calling thread, from any thread, inside SQLite: they must be quick, must not use a database
    that SQLite is at work on, and must never use any database from `close` and `shm-unmap` (SQLite may hold a
    mutex there). An exception becomes an I/O error to SQLite and a LabError when the tap is removed.
    """

    operations: frozenset[Operation] = frozenset()

    def before(self, call: Call) -> int | None:
        """Called before the operation. None lets it pass; a number is what SQLite is told instead of it.

        `call.perform()` does it at once, wholly or in part, when the answer is to differ from its result.
        """
        return None

    def after(self, call: Call, rc: int) -> None:
        """Called when it is over, with the result code that SQLite is told."""

    def attached(self, tap: Tap) -> None:
        """Called when the tap has been installed."""

    def detached(self, tap: Tap) -> None:
        """Called when the tap has been removed."""


def chain(listeners: Sequence[Listener], innermost: Callable[[Call], int]) -> Callable[[Call], int]:
    """Return one function that passes a call through all listeners, the first being outermost."""
    inner = innermost
    for listener in reversed(listeners):
        inner = _layer(listener, inner)
    return inner


def _layer(listener: Listener, inner: Callable[[Call], int]) -> Callable[[Call], int]:
    before, after = listener.before, listener.after

    def layer(call: Call) -> int:
        call.inner = inner
        rc = before(call)
        if rc is None:
            rc = inner(call)
        after(call, rc)
        return rc

    return layer
