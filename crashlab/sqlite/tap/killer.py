"""Death of the process at one exact call."""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from crashlab.errors import UsageError
from crashlab.sqlite.tap.call import Call
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.operation import Operation
from crashlab.sqlite.tap.selector import Selector, Trip


def kill_self() -> NoReturn:
    """Die of SIGKILL (TerminateProcess on Windows) now."""
    while True:
        os.kill(os.getpid(), signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


class Killer(Listener):
    """Kills the process at the call that a selector names.

    Before it is done; or, with `torn_bytes`, when so many bytes of that write have been written (all of a
    shorter one); or, for a selector with `.after`, when it has been done but SQLite doesn't know yet.
    `on_fire(text)` is called just before, to leave a record. A recorder's log ends with what was written.
    """

    def __init__(
        self,
        selector: Selector,
        *,
        torn_bytes: int | None = None,
        on_fire: Callable[[str], object] | None = None,
        kill: Callable[[], object] = kill_self,
    ) -> None:
        if torn_bytes is not None:
            if selector.operation is not Operation.WRITE or selector.after:
                raise UsageError(f"kill at {selector}: only a write can be torn, and only before it is done")
            if torn_bytes < 0:
                raise UsageError(f"kill at {selector}: torn at byte {torn_bytes}, expected 0 or more")
        self.operations = frozenset({selector.operation})
        self.trip = Trip(selector)
        self._torn_bytes = torn_bytes
        self._on_fire = on_fire
        self._kill = kill

    def before(self, call: Call) -> int | None:
        """Kill at a selector that means before the call."""
        if self.trip.selector.after or not self.trip.due(call):
            return None
        self._say(call)
        rc = None
        if self._torn_bytes:
            rc = call.perform(min(self._torn_bytes, call.size))
        self._kill()
        return rc

    def after(self, call: Call, rc: int) -> None:
        """Kill at a selector that means after the call."""
        if self.trip.selector.after and self.trip.due(call):
            self._say(call)
            self._kill()

    def _say(self, call: Call) -> None:
        if self._on_fire is not None:
            torn = "" if self._torn_bytes is None else f" torn at byte {min(self._torn_bytes, call.size)}"
            self._on_fire(f"kill {self.trip.selector}{torn} offset={call.offset} size={call.size}")
