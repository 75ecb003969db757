"""The migration's version is written after its transaction: a kill in between migrates twice.

Its author knew that it may have to be repeated and wrote IF NOT EXISTS everywhere; an UPDATE has no such words.
"""

import sqlite3
from typing import Any

from crashlab.decide.planted import Planted, Road
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.schema import Migration, schema_version


class VersionApart(RunLedger):
    """Commits the work, then says which version it is."""

    def _apply(self, connection: sqlite3.Connection, migration: Migration, now: int) -> None:
        version = schema_version(connection)
        if version < migration.version:
            super()._apply(_KeepsVersion(connection, version), migration, now)  # type: ignore[arg-type]
            connection.execute(f"PRAGMA user_version = {migration.version}")


class _KeepsVersion:
    """A connection on which the version is left as it is, and what exists may exist."""

    def __init__(self, connection: sqlite3.Connection, version: int) -> None:
        self._connection = connection
        self._version = version

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA user_version ="):
            sql = f"PRAGMA user_version = {self._version}"
        sql = sql.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ")
        sql = sql.replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ")
        return self._connection.execute(sql, *arguments)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction


workload = RunLedgers(VersionApart, workers=1, scenes=1, old_file=True)
twin = RunLedgers(workers=1, scenes=1, old_file=True)

PLANTED = Planted(
    id="version-apart",
    title="a version bump outside its migration's transaction",
    broken="killed between the two, the next start migrates again and multiplies every time once more",
    oracle="books",
    invariant="schema-agrees",
    road=Road.KILL,
    module=__name__,
)
