"""What a workload is handed in a writer process or at its restart."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from crashlab.log.writer import LogWriter
from crashlab.model.case import Param
from crashlab.model.seed import rng_for
from crashlab.writers.clock import Clock, RealClock, RendezvousClock, SteppedClock
from crashlab.writers.order import ClockKind, Order

SIGNAL_PREFIX = ".crashlab-signal."
_POLL_S = 0.0002


class RunContext:
    """The context of one process of a run; see `crashlab.model.workload.Context`."""

    def __init__(
        self,
        order: Order,
        process: int,
        connect: Callable[..., sqlite3.Connection],
        log: LogWriter | None = None,
    ) -> None:
        self.directory = Path(order.directory)
        self.database = Path(order.database)
        self.process = process
        self.seed = order.seed
        self.rng: random.Random = rng_for(order.seed, "workload", process)
        self.params: Mapping[str, Param] = order.params
        self.connect = connect
        self._log = log
        self.stepped: Clock = self._make_clock(order)

    def _make_clock(self, order: Order) -> Clock:
        if order.clock is ClockKind.REAL:
            return RealClock(order.tick_s)
        if order.clock is ClockKind.RENDEZVOUS and self.process == 0:
            return RendezvousClock(order.tick_s, self.note)
        return SteppedClock(order.tick_s)

    def clock(self) -> float:
        """Seconds of the stepped clock."""
        return self.stepped.now()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """`event.wait(seconds)` on the stepped clock."""
        return self.stepped.wait(event, seconds)

    def note(self, text: str) -> None:
        """Put a remark in the log (at a restart, where there is none, it goes nowhere)."""
        if self._log is not None:
            self._log.note(text)

    def signal(self, name: str) -> None:
        """Tell the trial's other processes that `name` has happened."""
        self._flag(name).touch()

    def await_signal(self, name: str, seconds: float = 5.0) -> None:
        """Wait until another process signalled `name`.

        Raises:
            TimeoutError: it did not within `seconds`.
        """
        flag = self._flag(name)
        deadline = time.monotonic() + seconds
        while not flag.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no process signalled {name!r} within {seconds} s")
            time.sleep(_POLL_S)

    def _flag(self, name: str) -> Path:
        return self.directory / f"{SIGNAL_PREFIX}{name}"
