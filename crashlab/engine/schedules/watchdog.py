"""Waiting for the end of a run, with limits: what does not end gets a name."""

import sys
import threading
import time
from types import FrameType

import msgspec

from crashlab.engine.schedules.ran import StuckError
from crashlab.writers.schedule.turns import Turns

__all__ = ["DEFAULT_LIMITS", "RunLimits", "wait_for_end"]

_SPINS_SHARE = 0.05
"""A thread that had so much of the time was busy; on a crowded machine nobody gets all of it."""


class RunLimits(msgspec.Struct, frozen=True):
    """Bounds of one schedule: points; seconds in which no call comes; seconds in all."""

    points_max: int = 20_000
    stall_s: float = 5.0
    seconds_max: float = 30.0


DEFAULT_LIMITS = RunLimits()


def wait_for_end(turns: Turns, limits: RunLimits) -> None:
    """Wait until all actors have finished.

    Raises:
        StuckError: `spins` (it computes and calls nothing), `waits` (for something that is no part of the schedule),
            `stays` (it goes on and on).
    """
    until = time.monotonic() + limits.seconds_max
    before = (-1, -1)
    used = 0.0
    while not turns.ended(limits.stall_s):
        now = (len(turns.trace), turns.current)
        had, used = used, _cpu_s(turns.ident)
        if now == before:
            spins = used - had > _SPINS_SHARE * limits.stall_s
            doing = (
                "computes and calls nothing of SQLite"
                if spins
                else "waits for something that is no part of the schedule"
            )
            raise StuckError(
                "spins" if spins else "waits",
                f"actor {chr(97 + turns.current)} {doing} for {limits.stall_s:g} s{_where(turns.ident)}",
            )
        before = now
        if time.monotonic() > until:
            raise StuckError("stays", f"not over after {limits.seconds_max:g} s{_where(turns.ident)}")


def _cpu_s(ident: int) -> float:
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(ident))
    except (AttributeError, OSError):
        return 0.0


def _where(ident: int) -> str:
    """Where the thread is in the program: the innermost frame that is neither the lab's nor Python's own locks."""
    frame: FrameType | None = sys._current_frames().get(ident)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith("crashlab.") and name != threading.__name__:
            code = frame.f_code
            return f", at {code.co_filename.rpartition('/')[2]}:{frame.f_lineno} in {code.co_name}"
        frame = frame.f_back
    return ""
