"""Recorded runs, kept while somebody uses them and a few longer: a long campaign records thousands."""

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from crashlab.engine.recording import Recording
from crashlab.model.case import Case

IDLE_MAX = 4
"""Recordings that nobody uses but that are kept, as several batches of states may be of one run."""


class _Held:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: Recording | None = None
        self.users = 0


class Recordings:
    """One recording for each seed and set of parameters; safe to use from several threads.

    `make` records a case's run. Runs of different cases are recorded side by side.
    """

    def __init__(self, make: Callable[[Case], Recording]) -> None:
        self._make = make
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, case: Case) -> Recording:
        """Return the recording of a case, which then stays for good.

        Raises:
            LabError: it cannot be recorded.
        """
        return self._get(self._take(case), case)

    @contextmanager
    def use(self, case: Case) -> Iterator[Recording]:
        """Lend the recording of a case.

        Raises:
            LabError: it cannot be recorded.
        """
        held = self._take(case)
        try:
            yield self._get(held, case)
        finally:
            with self._lock:
                held.users -= 1
                gone = [key for key, one in self._held.items() if not one.users][:-IDLE_MAX]
                dropped = [self._held.pop(key) for key in gone]
            for one in dropped:
                if one.made is not None:
                    shutil.rmtree(one.made.directory, ignore_errors=True)

    def _take(self, case: Case) -> _Held:
        key = msgspec.structs.replace(case, fault="none").encode()
        with self._lock:
            held = self._held.setdefault(key, _Held())
            self._held.move_to_end(key)
            held.users += 1
            return held

    def _get(self, held: _Held, case: Case) -> Recording:
        with held.lock:
            if held.made is None:
                held.made = self._make(case)
            return held.made
