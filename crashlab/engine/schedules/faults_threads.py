"""Faults of a schedule whose actors are threads: computed, because the process that would die is the lab's own.

A kill ends all of them: what a later program finds are the files as they are at that point, which SQLite's own page
cache does not outlive and the system's does. A power loss takes from that what was not synced. An I/O error is real.
The actors then run to their end with every call failing; nothing of that is judged.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from crashlab.engine.schedules.faults import KILL, POWER, known_fault, result_of_call
from crashlab.log.record import Record
from crashlab.log.trace import DONE, HEAD, TraceKind
from crashlab.model.history import History
from crashlab.writers.schedule.turns import MISSED, Turns

__all__ = ["Died", "MemoryLog", "ThreadFaults"]

STRUCK = "struck"
_LEFT = ("", "-wal", "-journal")
"""Not the `-shm`: whoever comes first makes it anew."""


class MemoryLog:
    """The records of one run, in memory: what a recorder writes to."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, kind: int, payload: bytes) -> int:
        """Append a record and return its number."""
        number = len(self.records)
        self.records.append(Record(0, number, number, 0, kind, payload))
        return number

    def write_around(self, file: int, data: bytes, do: Callable[..., int], *arguments: int) -> int:
        """Record a write around `do(*arguments)`."""
        start = self.append(TraceKind.WRITE, HEAD.pack(file, 0, arguments[-1]) + data)
        rc = do(*arguments)
        self.append(TraceKind.DONE, DONE.pack(start, rc))
        return rc


class Died:
    """All died: by which fault, what they had said, and what of it was recorded."""

    def __init__(self, fault: str, history: History, records: list[Record]) -> None:
        self.fault, self.history, self.records = fault, history, records


class ThreadFaults:
    """Lets faults befall the threads of one run. `history()`: what was done so far; `log`: what was recorded."""

    def __init__(self, turns: Turns, database: Path, history: Callable[[], History], log: MemoryLog) -> None:
        self._turns = turns
        self._database = database
        self._history = history
        self._log = log
        self.died: Died | None = None

    def strike(self, _actor: int, fault: str, call: int) -> int | None:
        """See `Turns.strike`."""
        if known_fault(fault) not in (KILL, POWER):
            told = result_of_call(fault, call)
            return MISSED if told is None else told
        if self.died is None:
            self.died = Died(fault, self._history(), list(self._log.records))
            left = self._database.parent / STRUCK
            left.mkdir()
            for suffix in _LEFT:  # its locks fall with the descriptor, and nobody needs them any more
                path = Path(f"{self._database}{suffix}")
                if path.exists():
                    shutil.copyfile(path, left / path.name)
            self._turns.give_up(STRUCK)
        return None
