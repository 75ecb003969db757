"""The schema, as the list of migrations that lead to it.

The version is `PRAGMA user_version`; each migration runs in one transaction together with its
version bump, so that a crash leaves the old version whole or the new one. Published migrations are
never edited: a change is a new one at the end of the list.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from store.books.schema import STATEMENTS as BOOKS
from store.errors import StoreSchemaTooNew

# "NEO1". Tells this store's files from any other program's (https://sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID: Final = 0x4E454F31


class Migration(NamedTuple):
    """One step of the schema; the statements may use `:now` (nanoseconds since 1970)."""

    version: int
    title: str
    statements: tuple[str, ...]


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        1,
        "identity, sessions, engine state, system metrics, fills",
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            # One row. Backups carry it in their names: retention deletes only this store's own.
            """CREATE TABLE store_identity (
                only INTEGER PRIMARY KEY CHECK (only = 1),
                created_at INTEGER NOT NULL)""",
            "INSERT INTO store_identity (only, created_at) VALUES (1, :now)",
            # AUTOINCREMENT: the number of a session is never given out twice.
            """CREATE TABLE sessions (
                session_id INTEGER PRIMARY KEY AUTOINCREMENT,
                parent_id INTEGER REFERENCES sessions (session_id),
                started_at INTEGER NOT NULL,
                ended_at INTEGER)""",
            """CREATE TABLE engine_state (
                key TEXT PRIMARY KEY NOT NULL,
                value TEXT NOT NULL,
                updated_at INTEGER NOT NULL) WITHOUT ROWID""",
            # `value` has no type, hence no conversion: 2**53 + 1 comes back as it went in.
            """CREATE TABLE system_metrics (
                metric_id INTEGER PRIMARY KEY,
                name TEXT NOT NULL,
                value NOT NULL CHECK (typeof(value) IN ('integer', 'real')),
                metric_key TEXT,
                session_id INTEGER REFERENCES sessions (session_id),
                ts INTEGER NOT NULL)""",
            """CREATE UNIQUE INDEX system_metrics_key ON system_metrics (metric_key)
                WHERE metric_key IS NOT NULL""",
            # Prices and quantities are decimal text: a float would change them.
            """CREATE TABLE fills (
                fill_row INTEGER PRIMARY KEY,
                fill_id TEXT NOT NULL UNIQUE,
                session_id INTEGER NOT NULL REFERENCES sessions (session_id),
                side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
                price TEXT NOT NULL CHECK (typeof(price) = 'text'),
                quantity TEXT NOT NULL CHECK (typeof(quantity) = 'text'),
                ts INTEGER NOT NULL)""",
        ),
    ),
    Migration(2, "the books: orders, inventory ledger, capital, valuations, markets, balances and halts", BOOKS),
)


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of the open database; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_not_too_new(version: int, where: object, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Raise StoreSchemaTooNew when the database is ahead of this code."""
    latest = migrations[-1].version
    if version > latest:
        raise StoreSchemaTooNew(
            f"{where} has schema version {version}, this store knows up to {latest}; "
            "use the newer program that wrote it"
        )


def migrate(
    connection: sqlite3.Connection, where: object, now: int, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Bring the database to the newest version, one transaction a migration.

    The version is read inside the transaction: of two processes that start together, the second
    finds the work done.
    """
    if schema_version(connection) == migrations[-1].version:
        return
    for migration in migrations:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = schema_version(connection)
            check_not_too_new(version, where, migrations)
            if version < migration.version:
                for statement in migration.statements:
                    connection.execute(statement, {"now": now})
                connection.execute(f"PRAGMA user_version = {migration.version}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
