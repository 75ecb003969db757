"""The schema version is written by close(): until then, and after a kill, it is 0.

The start-up of this store tolerates that, as such programs do, and would run every later migration from 0.
"""

import sqlite3

from harness.planted.record import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager
from store.schema import MIGRATIONS, schema_version


class VersionAtClose(StateManager):
    """Marks the database as complete when all has gone well."""

    migrations = tuple(
        migration._replace(
            statements=tuple(
                statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
                .replace("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX IF NOT EXISTS")
                .replace("INSERT INTO", "INSERT OR IGNORE INTO")
                for statement in migration.statements
            )
        )
        for migration in MIGRATIONS
    )

    def _open_store(self) -> sqlite3.Connection:
        assert self.path is not None
        connection = super()._open_store()
        self._version = schema_version(connection)
        connection.execute("PRAGMA user_version = 0")
        return connection

    def _finish(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA user_version = {self._version}")
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
