"""A migration's version is written after its transaction: a crash between them makes the next start repeat it."""

import sqlite3

from crashlab.decide.planted import Planted, Road
from harness.workloads.paper_session import PaperSession
from store import StateManager
from store.schema import schema_version


class VersionOutsideTransaction(StateManager):
    """Marks the work as done when it is."""

    def _migrate(self, connection: sqlite3.Connection) -> None:
        for migration in self.migrations:
            if schema_version(connection) < migration.version:
                connection.execute("BEGIN IMMEDIATE")
                for statement in migration.statements:
                    connection.execute(statement, {"now": 0})
                connection.execute("COMMIT")
                connection.execute(f"PRAGMA user_version = {migration.version}")


workload = PaperSession(VersionOutsideTransaction, sessions=1, duration_s=4)
twin = PaperSession(sessions=1, duration_s=4)

PLANTED = Planted(
    id="version-outside-transaction",
    title="a migration whose version bump is outside its transaction",
    broken="the tables are there, the version says that they are not, and no start gets past that",
    oracle="restart",
    invariant="refused",
    road=Road.KILL,
    module=__name__,
)
