"""The lab's own record inside the database: every change of a run, by whom, in the order of the commits.

Triggers write it in the transaction that makes the change, so whatever survives a fault, the record of it does
too. The connections say who they are by the SQL function `lab_actor()`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

ACTOR: Final = "lab_actor"
OLD_RUNS: Final = "old-"  # what an earlier release left; no step of this run wrote it

_SETUP: Final = (
    """CREATE TABLE IF NOT EXISTS lab_journal (
        n INTEGER PRIMARY KEY, actor TEXT NOT NULL, run_id TEXT NOT NULL, agent TEXT,
        old_status TEXT, status TEXT, old_owner TEXT, owner TEXT, old_fence INTEGER, fence INTEGER,
        old_heartbeat INTEGER, heartbeat INTEGER, step INTEGER, ended_at INTEGER)""",
    f"""CREATE TRIGGER IF NOT EXISTS lab_inserted AFTER INSERT ON protocol_runs BEGIN
        INSERT INTO lab_journal VALUES (NULL, {ACTOR}(), NEW.run_id, NEW.agent, NULL, NEW.status, NULL,
            NEW.owner_instance, NULL, NEW.fence, NULL, NEW.heartbeat_at, NEW.step_index, NEW.ended_at); END""",
    f"""CREATE TRIGGER IF NOT EXISTS lab_updated AFTER UPDATE ON protocol_runs BEGIN
        INSERT INTO lab_journal VALUES (NULL, {ACTOR}(), NEW.run_id, NEW.agent, OLD.status, NEW.status,
            OLD.owner_instance, NEW.owner_instance, OLD.fence, NEW.fence, OLD.heartbeat_at, NEW.heartbeat_at,
            NEW.step_index, NEW.ended_at); END""",
    f"""CREATE TRIGGER IF NOT EXISTS lab_deleted AFTER DELETE ON protocol_runs BEGIN
        INSERT INTO lab_journal VALUES (NULL, {ACTOR}(), OLD.run_id, OLD.agent, OLD.status, NULL,
            OLD.owner_instance, NULL, OLD.fence, NULL, OLD.heartbeat_at, NULL, NULL, NULL); END""",
    # A run's columns by who writes them: its owner alone, or whoever ends it first.
    f"""CREATE VIEW IF NOT EXISTS lab_progress AS
        SELECT run_id, agent, protocol, step_index, total_steps FROM protocol_runs
        WHERE run_id NOT LIKE '{OLD_RUNS}%'""",
    f"""CREATE VIEW IF NOT EXISTS lab_outcome AS
        SELECT run_id, status, result FROM protocol_runs WHERE run_id NOT LIKE '{OLD_RUNS}%'""",
)


class Change(NamedTuple):
    """One change of a run: its columns before and after, None where the row was not there.

    `actor` is the ledger object that made it; an owner that restarts is another one.
    """

    n: int
    actor: str
    run_id: str
    agent: str
    old_status: str | None
    status: str | None
    old_owner: str | None
    owner: str | None
    old_fence: int | None
    fence: int | None
    old_heartbeat: int | None
    heartbeat: int | None
    step: int | None
    ended_at: int | None

    def __str__(self) -> str:
        return f"{self.run_id} went from {self.old_status} to {self.status} by {self.actor}"


def keep_journal(connection: sqlite3.Connection) -> None:
    """Make the journal, its triggers and the views that the row oracles read, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SETUP:
        connection.execute(statement)
    connection.execute("COMMIT")


def changes(connection: sqlite3.Connection) -> Iterator[Change]:
    """Yield what the journal holds, in order; nothing if the run came to its end before there was one."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'lab_journal'").fetchone():
        return
    for row in connection.execute(f"SELECT {', '.join(Change._fields)} FROM lab_journal ORDER BY n").fetchall():
        yield Change(*row)


def last_change(connection: sqlite3.Connection) -> int:
    """The number of the newest change."""
    return int(connection.execute("SELECT coalesce(max(n), 0) FROM lab_journal").fetchone()[0])


def ended_by(connection: sqlite3.Connection, n: int, statuses: Sequence[str]) -> set[str]:
    """The runs that one of the first `n` changes ended."""
    marks = ", ".join("?" * len(statuses))
    rows = connection.execute(f"SELECT run_id FROM lab_journal WHERE n <= ? AND status IN ({marks})", (n, *statuses))
    return {row[0] for row in rows.fetchall()}
