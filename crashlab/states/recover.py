"""Letting real SQLite recover a crash state, and what it then says the database holds.

**Without changing the files**: `mode=ro` with the VFS `unix-excl`, which keeps the wal-index in memory. WAL
recovery is the very same code (`walIndexRecover` in wal.c reads the WAL and builds the index; it never
writes to main or WAL), so what a reader then sees is what it would see after a read-write open. That holds
while there is nothing else to recover: no journal is there (a hot one must be rolled back, which writes), the
WAL is there and has content (SQLite would create one), and the main file is not empty (SQLite deletes the WAL
of an empty one). Otherwise, and where there is no such VFS, the files are opened for writing.
"""

import hashlib
import os
import sqlite3
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from crashlab.sqlite.check import quick_check

__all__ = ["Logical", "Probe", "can_read_only", "has_exclusive_vfs", "recover"]

ROWS_MAX = 1_000_000


class Probe(msgspec.Struct, frozen=True):
    """What is asked of a recovered database.

    `database`: the main file's name in the run's directory. `queries`: their rows are part of the logical
    content; order them where the order matters.
    """

    database: str
    queries: tuple[str, ...] = ()
    quick_check: bool = True


class Logical(msgspec.Struct, frozen=True, dict=True):
    """The logical content: two states with the same are the same to a program.

    `problems`: lines of `quick_check`. `results`: the rows of each query, or an error's text in place of them
    (a table that is not there, a malformed page). `error`: SQLite could not even open it.
    """

    problems: tuple[str, ...] = ()
    results: tuple[tuple[tuple[Any, ...], ...] | str, ...] = ()
    error: str = ""

    @cached_property
    def digest(self) -> bytes:
        """Sixteen bytes that stand for the content."""
        text = repr((self.problems, self.results, self.error)).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16).digest()

    @property
    def sound(self) -> bool:
        """It opened, and quick_check had nothing to say."""
        return not self.problems and not self.error


def recover(directory: Path, probe: Probe, *, read_only: bool) -> Logical:
    """Open a materialised state with SQLite, which recovers it, and ask.

    `read_only`: without changing any file; only where `can_read_only` says so. Never raises for what the
    files hold.
    """
    mode = "?mode=ro&vfs=unix-excl" if read_only else "?mode=rwc"
    uri = "file:" + quote((directory / probe.database).as_posix()) + mode
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.0)
    except sqlite3.Error as error:
        return Logical(error=str(error))
    try:
        connection.execute("pragma trusted_schema=off")
        connection.execute("pragma cell_size_check=on")
        problems = quick_check(connection, 10) if probe.quick_check else ()
        return Logical(problems, tuple(_rows(connection, query) for query in probe.queries))
    except sqlite3.Error as error:
        return Logical(error=str(error))
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection, query: str) -> tuple[tuple[Any, ...], ...] | str:
    try:
        return tuple(connection.execute(query).fetchmany(ROWS_MAX))
    except sqlite3.Error as error:
        return f"{type(error).__name__}: {error}"


def can_read_only(directory: Path, database: str) -> bool:
    """Whether recovery without changing the files is the same as with; see the module."""
    path = os.path.join(directory, database)
    try:
        return (
            os.stat(path).st_size > 0
            and os.stat(path + "-wal").st_size > 0
            and not os.path.exists(path + "-journal")
            and has_exclusive_vfs()
        )
    except FileNotFoundError:
        return False


_exclusive: list[bool] = []


def has_exclusive_vfs() -> bool:
    """Whether this SQLite has the VFS `unix-excl`: on Linux and macOS, not on Windows."""
    if not _exclusive:
        try:
            sqlite3.connect("file:crashlab?mode=memory&vfs=unix-excl", uri=True).close()
            _exclusive.append(True)
        except sqlite3.Error:
            _exclusive.append(False)
    return _exclusive[0]
