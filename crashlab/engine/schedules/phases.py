"""The phases of a run in a schedule: what a writer's log would have of commits, checkpoints and closes."""

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import msgspec

from crashlab.log.writer import LogWriter
from crashlab.model.history import PhaseRecord
from crashlab.sqlite import apsw_module
from crashlab.writers.connection import ConnectMaker
from crashlab.writers.marks import Marks
from crashlab.writers.schedule.turns import Turns

__all__ = ["Phases"]

PHASES_MAX = 100_000


class Phases:
    """Takes the marks of connections that its `connect` makes, in the order of `moment()`."""

    def __init__(self, turns: Turns, module: ModuleType) -> None:
        self._turns = turns
        self._open: dict[tuple[int, str], list[int]] = {}
        self.moment: Callable[[], int] = itertools.count(1).__next__
        self.records: list[PhaseRecord] = []
        self._maker: ConnectMaker | None = None
        self._apsw = module if module is apsw_module else None

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """As `connect` of the module; with this Python's `sqlite3` its connections mark what they do."""
        if self._apsw is not None:
            return self._apsw.connect(*args, **kwargs)
        if self._maker is None:
            # Marks write no more than `enter` and `leave` where there is no crash point.
            self._maker = ConnectMaker(Marks(cast(LogWriter, self), None, lambda _: None))
        return self._maker.connect(*args, **kwargs)

    def enter(self, name: str, detail: str = "") -> None:
        """A phase begins."""
        if len(self.records) < PHASES_MAX:
            now = self.moment()
            self._open.setdefault((self._turns.current, name), []).append(len(self.records))
            self.records.append(PhaseRecord(name, 0, self._turns.current, now, now, 0, detail))

    def leave(self, name: str, detail: str = "") -> None:
        """A phase ends."""
        entered = self._open.get((self._turns.current, name))
        if entered:
            place = entered.pop()
            phase = self.records[place]
            self.records[place] = msgspec.structs.replace(phase, leave_ns=self.moment(), detail=detail or phase.detail)
