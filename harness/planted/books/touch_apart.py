"""The rolling distance to the touch is written after the snapshot, in a transaction of its own."""

import sqlite3
from typing import Any

from crashlab.decide.planted import Planted, Road
from harness.workloads.paper_session import PaperSession
from store import StateManager


class TouchApart(StateManager):
    """Rolls when the snapshot is safe."""

    _to_roll: tuple[int, int] | None = None

    def record_market_snapshot(self, *args: Any, **quotes: Any) -> int:
        """As ever, in two transactions."""
        row = super().record_market_snapshot(*args, **quotes)
        if self._to_roll is not None:
            self._atomically(self._roll)
            self._to_roll = None
        return row

    def _roll_touches(self, _cursor: sqlite3.Cursor, session_id: int, now: int) -> None:
        self._to_roll = session_id, now

    def _roll(self, cursor: sqlite3.Cursor) -> None:
        assert self._to_roll is not None
        super()._roll_touches(cursor, *self._to_roll)


workload = PaperSession(TouchApart, sessions=1)
twin = PaperSession(sessions=1)

PLANTED = Planted(
    id="touch-apart",
    title="a rolling key in another transaction than its table",
    broken="a crash between them leaves a key that lacks the newest tick",
    oracle="books",
    invariant="touch-consistent",
    road=Road.KILL,
    module=__name__,
)
