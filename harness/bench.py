"""The store's own bench: `record_*` and the books beside the same transaction written by hand in bare sqlite3."""

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from crashlab.decide.bench import Figure, compare
from crashlab.engine.workspace import Workspace
from harness.bench_books import bare_rate, paper_work, store_rate
from store import StateManager

COMMITS = 2000


def bench_store(*, rounds: int) -> Iterator[Figure]:
    """Commits per second of `record_system_metric`, `record_fill` and the trading books beside bare sqlite3.

    The baseline runs on the store's own schema and settings: BEGIN IMMEDIATE, one INSERT, COMMIT; that of the books
    has the transactions of the workload `paper_session` (`harness.bench_books`).
    """
    with Workspace() as space:
        yield compare(
            "record_system_metric",
            lambda: _store_metrics(space.root),
            lambda: _bare_metrics(space.root),
            rounds=rounds,
            unit="commits/s",
            wanted="at least 0.87 of bare sqlite3 (15 % added)",
        )
        yield compare(
            "record_fill",
            lambda: _store_fills(space.root),
            lambda: _bare_fills(space.root),
            rounds=rounds,
            unit="commits/s",
            wanted="at least 0.87 of bare sqlite3 (15 % added)",
        )
        work = paper_work()
        yield compare(
            "paper_session",
            lambda: store_rate(space.root, work),
            lambda: bare_rate(space.root, work),
            rounds=rounds,
            unit="commits/s",
            wanted="at least 0.80 of bare sqlite3",
        )


def _store_metrics(root: Path) -> float:
    with tempfile.TemporaryDirectory(dir=root) as directory, StateManager(Path(directory) / "a.db") as store:
        started = time.perf_counter()
        for number in range(COMMITS):
            store.record_system_metric("cpu", number * 0.5, key=f"k{number}")
        return COMMITS / (time.perf_counter() - started)


def _store_fills(root: Path) -> float:
    with tempfile.TemporaryDirectory(dir=root) as directory, StateManager(Path(directory) / "a.db") as store:
        session = store.create_session()
        started = time.perf_counter()
        for number in range(COMMITS):
            store.record_fill(f"f{number}", session_id=session, side="buy", price="0.5123", quantity="10")
        return COMMITS / (time.perf_counter() - started)


def _bare_metrics(root: Path) -> float:
    sql = "INSERT INTO system_metrics(metric_key, session_id, name, value, ts) VALUES(?, ?, ?, ?, ?)"
    rows = ((f"k{number}", None, "cpu", number * 0.5, time.time_ns()) for number in range(COMMITS))
    return _bare(root, sql, rows)


def _bare_fills(root: Path) -> float:
    sql = "INSERT INTO fills(fill_id, session_id, side, price, quantity, ts) VALUES(?, ?, ?, ?, ?, ?)"
    rows = ((f"f{number}", 1, "buy", "0.5123", "10", time.time_ns()) for number in range(COMMITS))
    return _bare(root, sql, rows)


def _bare(root: Path, sql: str, rows: Iterator[tuple[object, ...]]) -> float:
    with tempfile.TemporaryDirectory(dir=root) as directory:
        path = Path(directory) / "a.db"
        with StateManager(path) as store:
            store.create_session()
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        execute = connection.execute
        started = time.perf_counter()
        for row in rows:
            execute("BEGIN IMMEDIATE")
            execute(sql, row)
            execute("COMMIT")
        rate = COMMITS / (time.perf_counter() - started)
        connection.close()
        return rate
