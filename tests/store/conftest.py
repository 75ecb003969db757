"""Fixtures of the store's tests: stores on real files, and files in the states a fault leaves behind."""

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store import StateManager


class Ticks:
    """A clock that moves one second a call: runs are the same every time."""

    def __init__(self, start: int = 1_700_000_000_000_000_000) -> None:
        self.now = start

    def __call__(self) -> int:
        self.now += 1_000_000_000
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "neo_state.db"


@pytest.fixture
def make(path: Path) -> Iterator[Callable[..., StateManager]]:
    """Makes open stores on `path` (or another one) and closes what the test left open."""
    made: list[StateManager] = []

    def factory(target: object = path, cls: type[StateManager] = StateManager, **options: object) -> StateManager:
        options.setdefault("clock", Ticks())
        manager = cls(target, **options)
        made.append(manager)
        manager.initialize_database()
        return manager

    yield factory
    for manager in made:
        manager.close()


@pytest.fixture
def store(make: Callable[..., StateManager]) -> StateManager:
    return make()


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="store")


@pytest.fixture
def crashed(path: Path) -> Path:
    """A database whose writer was killed: 50 metrics acknowledged, all of them only in the WAL."""
    code = (
        "import os, signal, sqlite3, sys\n"
        "from store import StateManager\n"
        "def connect(*args, **options):\n"
        "    connection = sqlite3.connect(*args, **options)\n"
        "    connection.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "    return connection\n"
        "store = StateManager(sys.argv[1]); store.initialize_database(); store.close()\n"
        "store = StateManager(sys.argv[1], connect=connect); store.initialize_database()\n"
        "for i in range(50): store.record_system_metric('m', i, key=str(i))\n"
        "os._exit(9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], timeout=60, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 9
    assert path.with_name(path.name + "-wal").stat().st_size > 50 * 4096
    return path


@pytest.fixture
def wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


@pytest.fixture
def query() -> Callable[[Path, str], list[tuple[object, ...]]]:
    """Asks a database file over a connection of its own."""

    def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(path, timeout=1)) as connection:
            return connection.execute(sql).fetchall()

    return ask


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[..., list[logging.LogRecord]]:
    """The records so far whose message starts with the text; of one level, or all."""

    def find(message: str, level: int | None = None) -> list[logging.LogRecord]:
        return [
            record
            for record in caplog.records
            if record.name.startswith("store.")
            and record.getMessage().startswith(message)
            and (level is None or record.levelno == level)
        ]

    return find


@pytest.fixture
def pinned(path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Opens a reader of another program that holds a snapshot until it is closed."""
    readers: list[sqlite3.Connection] = []

    def pin() -> sqlite3.Connection:
        reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        readers.append(reader)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchall()
        return reader

    yield pin
    for reader in readers:
        reader.close()
