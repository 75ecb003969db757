"""Small parts of taking turns: what a run without a schedule decides, how an actor is told that it is over."""

import sys
from _thread import LockType, allocate_lock
from collections.abc import Sequence

from crashlab.errors import TapUnavailableError
from crashlab.writers.schedule.decide import ENDLESS, Answer, Grant, Why

__all__ = ["AbandonedError", "closed_lock", "first_runnable", "require_turns", "told"]


class AbandonedError(BaseException):
    """Raised where an actor waits in a schedule that was given up; nothing of the program should hold it."""


def require_turns() -> None:
    """Refuse a Python whose threads do not take turns by themselves.

    Raises:
        TapUnavailableError: a free-threaded build.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise TapUnavailableError(
            "schedules need a Python with a GIL: this one is free-threaded, and what the lab counts in would be torn; "
            "run it with the usual build, or with PYTHON_GIL=1"
        )


def first_runnable(why: Why, actor: int, call: int, points: int, runnable: Sequence[int]) -> Answer:
    """Decide without a schedule: whoever runs goes on as long as it can, then the lowest number."""
    return Grant(actor if actor in runnable else runnable[0], ENDLESS)


def closed_lock() -> LockType:
    """Return a lock that is held: who acquires it waits until somebody releases it."""
    lock = allocate_lock()
    lock.acquire()
    return lock


def told(error: BaseException) -> str:
    """Return what an actor raised as text: kept itself it would keep what its frames hold, connections for one."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" (at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{where}"[:1000]
