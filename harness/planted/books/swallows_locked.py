"""A database that somebody else has locked is taken for a statement that changed nothing."""

import sqlite3
from collections.abc import Sequence

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import StateManager
from store.startup import primary_code


class SwallowsLocked(StateManager):
    """Treats SQLITE_BUSY as a hiccup."""

    def _write(self, sql: str, parameters: Sequence[object]) -> tuple[int, int]:
        try:
            return super()._write(sql, parameters)
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            return 0, 0


workload = PaperSession(SwallowsLocked, locks=8)
twin = PaperSession(locks=8)

PLANTED = Planted(
    id="lock-taken-for-nothing",
    title='a swallowed "database is locked"',
    broken="an order's change is answered as done and was never written",
    oracle="books",
    invariant="refusals-surface",
    trials=20,
    module=__name__,
)
