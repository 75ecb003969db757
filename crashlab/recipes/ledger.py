"""The database that a recipe plays with, and reading it back: numbered rows, each with a checksum of itself."""

import hashlib
import sqlite3
from pathlib import Path

__all__ = ["DATABASE", "Read", "add", "body_of", "create", "open_database", "read"]

DATABASE = "app.db"
_HOT = ("-wal", "-journal")


def open_database(path: Path) -> sqlite3.Connection:
    """Open a database as a careful program does: WAL, every commit synced, nothing checkpointed by itself."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make the ledger."""
    connection.execute("CREATE TABLE IF NOT EXISTS ledger(id INTEGER PRIMARY KEY, body TEXT NOT NULL)")


def body_of(number: int, kind: str = "row") -> str:
    """Return what row `number` must hold."""
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=32).hexdigest() * 4


def add(connection: sqlite3.Connection, number: int, kind: str = "row") -> None:
    """Commit one row."""
    connection.execute("INSERT INTO ledger VALUES(?, ?)", (number, body_of(number, kind)))


class Read:
    """What a database file holds. `problem`: why it is no sound ledger, "" if it is one."""

    def __init__(self, ids: tuple[int, ...], problem: str) -> None:
        self.ids, self.problem = ids, problem


def read(path: Path, kind: str = "row") -> Read:
    """Open a private copy of a database with SQLite, which recovers it, and read its ledger."""
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        return Read((), str(error))
    try:
        check = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
        rows = connection.execute("SELECT id, body FROM ledger ORDER BY id").fetchall()
    except sqlite3.Error as error:
        return Read((), str(error))
    finally:
        connection.close()
    ids = tuple(row[0] for row in rows)
    if check != ["ok"]:
        return Read(ids, "; ".join(check))
    wrong = [number for number, body in rows if body != body_of(number, kind)]
    return Read(ids, f"row {wrong[0]} does not hold what was written" if wrong else "")
