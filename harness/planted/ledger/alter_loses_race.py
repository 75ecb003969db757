"""The columns are looked for and added outside a transaction: of two processes the later one dies of it."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger.schema import ADDED_COLUMNS, columns
from store.schema import Migration


class AlterLosesRace(RunLedger):
    """Probes, then alters, as if it were alone."""

    def _apply(self, connection: sqlite3.Connection, migration: Migration, now: int) -> None:
        for table, name, declaration in ADDED_COLUMNS.get(migration.version, ()):
            if name not in columns(connection, table):
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {declaration}")
        super()._apply(connection, migration, now)


workload = RunLedgers(AlterLosesRace, old_file=True, scenes=1)
twin = RunLedgers(old_file=True, scenes=1)

PLANTED = Planted(
    id="alter-loses-race",
    title="an ALTER TABLE that dies on the lost race",
    broken="two processes find a column missing, both add it, and the start of one fails: duplicate column name",
    oracle="books",
    invariant="starts-together",
    trials=20,
    module=__name__,
)
