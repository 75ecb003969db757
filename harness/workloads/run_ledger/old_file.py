"""A ledger that the first release has left: runs that have ended, and a schema to be migrated in place."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from harness.workloads.run_ledger.journal import OLD_RUNS
from store import RunLedger
from store.run_ledger.schema import ADDED_COLUMNS, APPLICATION_ID, MIGRATIONS

_ENDED: Final = ("completed", "failed", "closed")
_STARTED_S: Final = 1_600_000_000
_COLUMNS: Final = frozenset(column.name for column in ADDED_COLUMNS[2])


def make_old_file(ledger_class: type[RunLedger], path: object, **options: object) -> None:
    """Write the file as the first release did: one run of each ending, times in whole seconds."""
    first = type("FirstRelease", (ledger_class,), {"migrations": MIGRATIONS[:1]})
    with first(path, **options) as ledger, ledger.transaction():
        for number, status in enumerate(_ENDED):
            ledger._write(
                "INSERT INTO protocol_runs VALUES (?, 'old', 'old', ?, 'first', ?, ?, NULL)",
                (f"{OLD_RUNS}{status}", status, _STARTED_S + number, _STARTED_S + number + 60),
            )


def schema_complaints(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with a ledger that has been started: its version, its columns, what the migration did."""
    expected = MIGRATIONS[-1].version
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if (version, application) != (expected, APPLICATION_ID):
        yield f"version {version} of application {application}, expected {expected} of {APPLICATION_ID}"
    columns = [row[1] for row in connection.execute("PRAGMA table_info(protocol_runs)")]
    if missing := _COLUMNS.difference(columns):
        yield f"version {version} without the columns {', '.join(sorted(missing))}"
        return
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'protocol_runs_active'").fetchone():
        yield f"version {version} without its index of active runs"
    rows = connection.execute(
        f"SELECT run_id, created_at, ended_at, heartbeat_at FROM protocol_runs WHERE run_id LIKE '{OLD_RUNS}%'"
    ).fetchall()
    if rows and len(rows) != len(_ENDED):
        yield f"{len(rows)} of the first release's {len(_ENDED)} runs are left"
    for run_id, *times in rows:
        started = _STARTED_S + _ENDED.index(run_id[len(OLD_RUNS) :])
        if times != [started * 10**9, (started + 60) * 10**9, started * 10**9]:
            yield f"{run_id} was migrated to the times {times}"
