"""The stepped clock: one clock for ticks and cadence, so that seconds cost no waiting."""

import threading


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
