"""The schema of the run ledger, and its migration in place by several processes at once.

No JSON function in a CHECK: SQLite 3.40.1 calls such a schema malformed wherever `PRAGMA trusted_schema` is off
("unsafe use of json_valid()"), and careful readers switch it off. That it is JSON is for the ledger to see to.

Version 1 is what the first release wrote: times in whole seconds, no heartbeat. Version 2 adds columns
with ALTER TABLE and turns the times into nanoseconds.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

from store.schema import Migration

# "RLG1"
APPLICATION_ID: Final = 0x524C4731


class Column(NamedTuple):
    """A column that a migration adds."""

    table: str
    name: str
    declaration: str


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        1,
        "protocol runs and agent runs",
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            """CREATE TABLE protocol_runs (
                run_id TEXT PRIMARY KEY NOT NULL,
                agent TEXT NOT NULL,
                protocol TEXT NOT NULL,
                status TEXT NOT NULL CHECK (status IN ('loading', 'running', 'completed', 'failed', 'closed')),
                owner_instance TEXT NOT NULL,
                created_at INTEGER NOT NULL,
                ended_at INTEGER,
                detail TEXT)""",
            """CREATE TABLE agent_runs (
                agent_run_id TEXT PRIMARY KEY NOT NULL,
                run_id TEXT NOT NULL REFERENCES protocol_runs (run_id),
                agent TEXT NOT NULL,
                metadata TEXT NOT NULL CHECK (typeof(metadata) = 'text'),
                created_at INTEGER NOT NULL)""",
            "CREATE INDEX agent_runs_run ON agent_runs (run_id)",
        ),
    ),
    Migration(
        2,
        "heartbeats, steps, fences and results; times in nanoseconds",
        (
            "UPDATE protocol_runs SET created_at = created_at * 1000000000, ended_at = ended_at * 1000000000",
            "UPDATE protocol_runs SET heartbeat_at = created_at",
            "UPDATE agent_runs SET created_at = created_at * 1000000000",
            """CREATE INDEX protocol_runs_active ON protocol_runs (agent)
                WHERE status IN ('loading', 'running')""",
        ),
    ),
)

ADDED_COLUMNS: Final[Mapping[int, tuple[Column, ...]]] = {
    2: (
        Column("protocol_runs", "heartbeat_at", "INTEGER NOT NULL DEFAULT 0"),
        Column("protocol_runs", "step_index", "INTEGER NOT NULL DEFAULT 0"),
        Column("protocol_runs", "total_steps", "INTEGER"),
        Column("protocol_runs", "fence", "INTEGER NOT NULL DEFAULT 1"),
        Column("protocol_runs", "result", "TEXT CHECK (typeof(result) IN ('text', 'null'))"),
    )
}
"""version → the columns that it adds before its statements run."""


def columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """The names of the columns that the table has now."""
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def add_column(connection: sqlite3.Connection, column: Column) -> None:
    """ALTER TABLE, that is content when somebody else has added the column since it was looked for."""
    try:
        connection.execute(f"ALTER TABLE {column.table} ADD COLUMN {column.name} {column.declaration}")
    except sqlite3.OperationalError:
        if column.name not in columns(connection, column.table):
            raise
