"""The program's own waits as waits of the schedule: locks, conditions, events, sleeps, joins and threads.

A paused actor may hold a lock of the program's, and who would then really wait for it would stop the schedule. So in
a process that runs schedules the makers of locks in `threading` are replaced before the program is imported. Each of
these locks has a real one inside: outside a schedule, and for threads that take no turns, it is that one.
`time.sleep` lets the others run and takes no time. A thread that the program starts becomes an actor. What waits
elsewhere (a file lock, a socket, a `SimpleQueue`, another process) is seen by the watchdog alone.
"""

import threading
import time
from _thread import LockType, allocate_lock, get_ident
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from crashlab.writers.schedule.decide import Mark
from crashlab.writers.schedule.turns import Turns

__all__ = ["ScheduledLock", "ScheduledRLock", "patched_threading"]


class ScheduledLock:
    """A `threading.Lock` for which actors wait by letting others run."""

    __slots__ = ("__weakref__", "_real", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._real: LockType = allocate_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.Lock.acquire`; a timeout passes when nobody else can run."""
        if self._real.acquire(blocking=False):
            return True
        if not blocking or not self._turns.mine:
            return self._real.acquire(blocking, timeout) if blocking else False
        while self._turns.wait(Mark.LOCK, lambda: not self._real.locked(), timed=timeout >= 0):
            if self._real.acquire(blocking=False):
                return True
        return self._real.acquire(blocking=False)

    def release(self) -> None:
        """As `threading.Lock.release`."""
        self._real.release()

    def locked(self) -> bool:
        """As `threading.Lock.locked`."""
        return self._real.locked()

    def _at_fork_reinit(self) -> None:
        self._real = allocate_lock()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, _kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        self.release()


class ScheduledRLock:
    """A `threading.RLock` for which actors wait by letting others run."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self, turns: Turns) -> None:
        self._lock = ScheduledLock(turns)
        self._owner = 0
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.RLock.acquire`."""
        me = get_ident()
        if self._owner == me:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = me, 1
        return True

    def release(self) -> None:
        """As `threading.RLock.release`."""
        if self._owner != get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = 0
            self._lock.release()

    def free_for_me(self) -> bool:
        """Whether the calling thread would get it at once."""
        return not self._lock.locked() or self._owner == get_ident()

    # What threading.Condition asks of its lock.

    def _is_owned(self) -> bool:
        return self._owner == get_ident()

    def _release_save(self) -> tuple[int, int]:
        state = (self._count, self._owner)
        self._owner = self._count = 0
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        self._lock.acquire()
        self._count, self._owner = state

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()
        self._owner = self._count = 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, _kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        self.release()


@contextmanager
def patched_threading(turns: Turns) -> Iterator[None]:
    """Put the schedule's locks, sleep and threads in the place of Python's; a program imported inside uses them."""
    places: list[tuple[Any, str, Any]] = [
        (threading, "Lock", lambda: ScheduledLock(turns)),
        (threading, "RLock", lambda: ScheduledRLock(turns)),
        (threading, "_allocate_lock", lambda: ScheduledLock(turns)),
        (time, "sleep", _sleep(turns, time.sleep)),
        (threading.Thread, "start", _start(turns, threading.Thread.start)),
        (threading.Thread, "join", _join(turns, threading.Thread.join)),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    try:
        for owner, name, new in places:
            setattr(owner, name, new)
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


def _sleep(turns: Turns, real: Callable[[float], None]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        if turns.mine:
            turns.wait(Mark.SLEEP)
        else:
            real(seconds)

    return sleep


def _start(turns: Turns, real: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start(self: threading.Thread) -> None:
        if not turns.mine:
            real(self)
            return
        number = turns.adopt()
        there = allocate_lock()
        there.acquire()
        body = self.run
        self.run = lambda: turns.join_in(number, body, there)  # type: ignore[method-assign]
        self._crashlab_actor = number  # type: ignore[attr-defined]
        turns.on = False  # start() waits for the new thread, which takes no turns yet
        try:
            real(self)
            there.acquire()
        finally:
            turns.on = True

    return start


def _join(turns: Turns, real: Callable[..., None]) -> Callable[..., None]:
    def join(self: threading.Thread, timeout: float | None = None) -> None:
        number = getattr(self, "_crashlab_actor", -1)
        if number >= 0 and turns.mine:
            if number in turns.alive and not turns.wait(
                Mark.LOCK, lambda: number not in turns.alive, timed=timeout is not None
            ):
                return
            real(self, None)  # its last instructions
            return
        real(self, timeout)

    return join
