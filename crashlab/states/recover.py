"""Letting real SQLite recover a crash state, and what it then says the database holds.

**Without changing main and WAL**: with `mode=ro`. WAL recovery is the very same code as for a writer
(`walIndexRecover` in wal.c reads the WAL and builds the wal-index; it never writes to either file), and the
first connection always does it anew (`unixLockSharedMemory` in os_unix.c empties a `-shm` that nobody has
open). What a reader sees is then what it would see after a read-write open; only the checkpoint at close is
left out. That holds while there is nothing else to recover: no journal is there (a hot one must be rolled
back, which writes), the WAL is there and has content (SQLite would create one), and the main file is not
empty (SQLite deletes the WAL of an empty one). Otherwise the files are opened for writing.
"""

import hashlib
import sqlite3
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from crashlab.sqlite.check import quick_check
from crashlab.sqlite.distrust import distrust

__all__ = ["Logical", "Probe", "can_read_only", "recover"]

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

    `read_only`: without changing main or WAL (a `-shm` is left); only where `can_read_only` says so. Never
    raises for what the files hold.
    """
    mode = "?mode=ro" if read_only else "?mode=rwc"
    uri = "file:" + quote((directory / probe.database).as_posix()) + mode
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.0)
    except sqlite3.Error as error:
        return Logical(error=str(error))
    try:
        distrust(connection)
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


def can_read_only(sizes: Mapping[str, int], database: str) -> bool:
    """Whether recovery without changing the files is the same as with; see the module.

    `sizes`: of all files by name.
    """
    return sizes.get(database, 0) > 0 and sizes.get(database + "-wal", 0) > 0 and database + "-journal" not in sizes
