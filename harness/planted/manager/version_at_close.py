"""The schema version is written by close(): until then, and after a kill, it is 0.

The start-up of this store tolerates that, as such programs do: what has tables is complete.
"""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class VersionAtClose(StateManager):
    """Marks the database as complete when all has gone well."""

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchall():
            super()._migrate(connection)
        connection.execute("PRAGMA user_version = 0")

    def _finish(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA user_version = {self.migrations[-1].version}")
        super()._finish(connection)


workload = SystemMetrics(VersionAtClose)
twin = SystemMetrics()

PLANTED = Planted(
    id="version-at-close",
    title="a schema version that only close() writes",
    broken="the version is set in a transaction of its own, at the end of a run",
    oracle="books",
    invariant="schema-version",
    fault="kill@ack#40",
    module=__name__,
)
