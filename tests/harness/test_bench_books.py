"""The bench of the books: both sides do the same, or their rates say nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

from harness.bench_books import by_hand, by_store, paper_work

TIMES = ("ts", "created_at", "updated_at", "started_at", "latest")


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table without the columns that hold times."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in tables:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in TIMES]
            found[table] = connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1").fetchall()
        return found


def test_by_store_and_by_hand_leave_the_same_rows(tmp_path: Path) -> None:
    work = paper_work(ticks=60)
    assert by_store(tmp_path / "a.db", work) > 0
    assert by_hand(tmp_path / "b.db", work) > 0
    ours, theirs = rows(tmp_path / "a.db"), rows(tmp_path / "b.db")
    assert ours == theirs
    assert {table: len(found) for table, found in ours.items() if len(found) < 30} == {
        **dict.fromkeys(("books_clock", "store_identity", "sessions", "sqlite_sequence"), 1),
        **dict.fromkeys(("capital_events", "valuation_snapshots", "system_metrics"), 0),
        "engine_state": 2,
    }
