"""close() leaks its connection when the final checkpoint raises."""

import logging
import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class CloseLeaks(StateManager):
    """Puts the close behind the checkpoint in one try."""

    def _finish(self, connection: sqlite3.Connection) -> None:
        try:
            self._final_checkpoint(connection)
            connection.close()
        except sqlite3.Error:
            logging.getLogger("store").exception("close failed")


workload = SystemMetrics(CloseLeaks, fail_at_close=True)
twin = SystemMetrics(fail_at_close=True)

PLANTED = Planted(
    id="close-leaks",
    title="close() that leaks the connection when TRUNCATE raises",
    broken="an error of the final checkpoint skips the close of the connection",
    oracle="books",
    invariant="close-releases",
    module=__name__,
)
