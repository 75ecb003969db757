"""The schema version is set before its migration, in a transaction of its own."""

import sqlite3

from crashlab.decide.planted import Planted, Road
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog
from store.schema import schema_version


class VersionBeforeMigration(MessageLog):
    """Claims the version first, so that no other process makes the same migration."""

    def _migrate(self, connection: sqlite3.Connection) -> None:
        for migration in self.migrations:
            if schema_version(connection) < migration.version:
                connection.execute(f"PRAGMA user_version = {migration.version}")
                connection.execute("BEGIN IMMEDIATE")
                for statement in migration.statements:
                    connection.execute(statement)
                connection.execute("COMMIT")


workload = AgentMemory(VersionBeforeMigration, upgrade_at=8, steps=12)
twin = AgentMemory(upgrade_at=8, steps=12)

PLANTED = Planted(
    id="version-before-migration",
    title="a version bump outside its migration's transaction",
    broken="killed in between, the file says version 2 and has the schema of version 1",
    oracle="books",
    invariant="schema-version",
    road=Road.KILL,
    module=__name__,
)
