"""What a caller is told: the same answer twice, every refusal, the schema that the version names."""

import sqlite3
from collections.abc import Iterator
from functools import cache

from crashlab.model.history import History
from harness.workloads.io_errors import io_error_surfaces
from harness.workloads.paper_session.desk import Restarted
from harness.workloads.paper_session.told import DIFFERS, SWALLOWED, told, unexpected
from store.schema import APPLICATION_ID, MIGRATIONS, migrate


def idempotent(_engine: Restarted, _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A call that is repeated gives the answer of the first; the other invariants see whether it did more."""
    return (text.removeprefix(DIFFERS) for text in told(history).complaints if text.startswith(DIFFERS))


def refusals_surface(engine: Restarted, connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A write that meets a locked database or a failing disk is refused, and is never answered as done."""
    yield from (text.removeprefix(SWALLOWED) for text in told(history).complaints if text.startswith(SWALLOWED))
    yield from io_error_surfaces(engine, connection, unexpected(history))  # type: ignore[arg-type]


def schema_agrees(_engine: Restarted, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """The restarted database is this store's, of its newest version, with the very schema of that version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version != MIGRATIONS[-1].version:
        yield f"schema version {version}, expected {MIGRATIONS[-1].version}"
    if application != APPLICATION_ID:
        yield f"application_id {application}, expected {APPLICATION_ID}"
    found, expected = _schema(connection), _newest_schema()
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            yield f"{name}: {found.get(name)}, expected {expected.get(name)}"


@cache
def _newest_schema() -> dict[str, str]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, ":memory:", 0)
        return _schema(connection)
    finally:
        connection.close()


def _schema(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return dict(rows.fetchall())
