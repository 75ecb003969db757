"""close() leaves the WAL to SQLite's own clean-up, which only the last connection's close does."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class CloseWithoutTruncate(StateManager):
    """Closes the connection and hopes to be the last."""

    def _final_checkpoint(self, connection: sqlite3.Connection) -> None:
        pass


workload = SystemMetrics(CloseWithoutTruncate, second_connection=True)
twin = SystemMetrics(second_connection=True)

PLANTED = Planted(
    id="close-without-truncate",
    title="close() without TRUNCATE",
    broken="the final checkpoint is left out; an idle second connection keeps SQLite from doing it",
    oracle="books",
    invariant="close-truncates",
    module=__name__,
)
