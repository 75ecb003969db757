"""One core for actors that take turns: each wakes the next without disturbing a second core, a fifth of the time."""

import contextlib
import ctypes
import os
import time
from types import TracebackType
from typing import Self

__all__ = ["OneCore"]

_NAP_S = 0.001


class OneCore:
    """Keeps this process, and what it forks, on one of its cores; a context manager. Linux only: elsewhere it is idle.

    Which one is the system's own choice for a process that wakes, so busy cores are left to the others.
    """

    def __init__(self) -> None:
        self._allowed: set[int] = set()

    def __enter__(self) -> Self:
        if hasattr(os, "sched_setaffinity"):
            self._allowed = os.sched_getaffinity(0)
            time.sleep(_NAP_S)
            _limit_to({_current_core(self._allowed)})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._allowed:
            _limit_to(self._allowed)


def _limit_to(cores: set[int]) -> None:
    with contextlib.suppress(OSError):  # a core was taken away, or a sandbox forbids it: it is only about speed
        for thread in os.listdir("/proc/self/task"):  # each has a set of its own, and the actors were there before
            os.sched_setaffinity(int(thread), cores)


def _current_core(allowed: set[int]) -> int:
    try:
        core = int(ctypes.CDLL(None).sched_getcpu())
    except (AttributeError, OSError):
        core = -1
    return core if core in allowed else sorted(allowed)[os.getpid() % len(allowed)]
