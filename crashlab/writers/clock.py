"""The lab's clocks: stepped, so that seconds cost no waiting; stepped with a rendezvous; and real time."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

CLOCK_NOTE = "clock "
"""How a note begins with which the rendezvous clock says where it is from now on, in nanoseconds since its start."""


class Clock(Protocol):
    """What a run reads the time from."""

    def now(self) -> float:
        """Seconds since the Unix epoch, as the program is told."""

    def tick(self) -> None:
        """One step has been done."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event; return whether it is set."""


class SteppedClock:
    """Moves by `tick_s` per step and never by itself.

    A checkpoint loop with a cadence of 0.5 s then runs every 0.5 / tick_s steps, whatever the machine,
    and a trial of milliseconds sees what hours of waiting would.
    """

    EPOCH = 1_700_000_000.0
    POLL_S = 0.001

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._ticks = 0
        self._moved = threading.Condition()
        self._due = float("inf")

    def now(self) -> float:
        """Seconds since the Unix epoch, as the program is told."""
        return self.EPOCH + self._ticks * self._tick_s

    def tick(self) -> None:
        """One step has been done."""
        self._ticks += 1
        if self.now() >= self._due:
            with self._moved:
                self._due = float("inf")
                self._moved.notify_all()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the clock has moved by `seconds` or the event is set; return whether it is set."""
        until = self.now() + seconds
        with self._moved:
            while not event.is_set() and self.now() < until:
                self._due = min(self._due, until)
                # The event's own setter does not notify us, so look again every millisecond.
                self._moved.wait(self.POLL_S)
        return event.is_set()


class RendezvousClock:
    """A stepped clock that stops at each moment at which a thread is due, until that thread has done its work.

    Each step is followed by `tick_s`. Whoever waits on the clock in the meantime is woken at its own moment and
    not later, one moment after another, and the clock goes on when each of them waits again (or has ended). So
    a checkpoint loop and the steps never run at once, and the same seed gives the same operations at the same
    clock times on any machine. `note` is told of every move. A thread that stays away for `patience_s` real
    seconds is no longer waited for, which is noted, too: from then on nothing is the same each time.
    """

    POLL_S = 0.001
    PATIENCE_S = 2.0
    ARRIVAL_S = 0.1
    """How long a thread that the clock has not seen yet may take to its first wait."""

    def __init__(self, tick_s: float, note: Callable[[str], None]) -> None:
        self._tick_ns = round(tick_s * 1e9)
        self._now_ns = 0
        self._note = note
        self._moved = threading.Condition()
        self._due: dict[threading.Thread, int] = {}
        self._at_work: set[threading.Thread] = set()
        self._seen: set[threading.Thread] = set()

    def now(self) -> float:
        """Seconds since the Unix epoch, as the program is told."""
        return SteppedClock.EPOCH + self._now_ns / 1e9

    def tick(self) -> None:
        """One step has been done: move on by the tick, over every moment at which somebody is due."""
        with self._moved:
            self._seen.add(threading.current_thread())
            self._meet_newcomers()
            target = self._now_ns + self._tick_ns
            while self._due and (soonest := min(self._due.values())) <= target:
                self._move(soonest)
                for thread in [thread for thread, due in self._due.items() if due <= soonest]:
                    del self._due[thread]
                    self._at_work.add(thread)
                self._moved.notify_all()
                self._rendezvous()
            self._move(target)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the clock has moved by `seconds` or the event is set; return whether it is set."""
        thread = threading.current_thread()
        with self._moved:
            self._seen.add(thread)
            until = self._now_ns + max(0, round(seconds * 1e9))
            if self._now_ns >= until:
                return event.is_set()
            self._due[thread] = until
            self._at_work.discard(thread)
            self._moved.notify_all()
            while not event.is_set() and self._now_ns < until:
                # The event's own setter does not notify us, so look again every millisecond.
                self._moved.wait(self.POLL_S)
            self._due.pop(thread, None)
        return event.is_set()

    def _move(self, to_ns: int) -> None:
        if to_ns > self._now_ns:
            self._note(f"{CLOCK_NOTE}{to_ns}")
            self._now_ns = to_ns

    def _meet_newcomers(self) -> None:
        """Let threads that were started since the last tick come to their first wait."""
        for thread in threading.enumerate():
            if thread not in self._seen:
                until = time.monotonic() + self.ARRIVAL_S
                while thread not in self._seen and thread.is_alive() and time.monotonic() < until:
                    self._moved.wait(self.POLL_S)
                self._seen.add(thread)

    def _rendezvous(self) -> None:
        until = time.monotonic() + self.PATIENCE_S
        while self._at_work:
            self._moved.wait(self.POLL_S)
            self._at_work = {thread for thread in self._at_work if thread.is_alive()}
            if self._at_work and time.monotonic() > until:
                names = ", ".join(sorted(thread.name for thread in self._at_work))
                self._note(f"clock: {names} did not wait again within {self.PATIENCE_S} s; not waited for any longer")
                self._at_work.clear()


class RealClock:
    """Real time: a tick waits until the next step is due, so that steps begin every `tick_s` (0: at once).

    A step that is late is not made up for: the next ones follow at once until the pace is regained.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._ticks = 0
        self._start = time.monotonic()

    def now(self) -> float:
        """Seconds since the stepped clock's epoch, as the program is told."""
        return SteppedClock.EPOCH + time.monotonic() - self._start

    def tick(self) -> None:
        """One step has been done: wait until the next is due."""
        self._ticks += 1
        left = self._start + self._ticks * self._tick_s - time.monotonic()
        if left > 0:
            time.sleep(left)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait in real time."""
        return event.wait(max(0.0, seconds))
