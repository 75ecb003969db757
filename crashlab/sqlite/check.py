"""SQLite's own checks, on private copies: what a database says of itself, and what its main file is worth
alone.

Opening evidence with SQLite changes it (recovery, a checkpoint on close, the WAL deleted), so nothing here
opens a file it was given: each opens a copy in a temporary directory that goes with it. The functions that
copy read raw bytes: never give them a database that this process has open (see
:mod:`crashlab.sqlite.files`).
"""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from os import PathLike
from pathlib import Path
from urllib.parse import quote

from crashlab.sqlite.distrust import distrust
from crashlab.sqlite.files import Triplet

__all__ = [
    "MainAlone",
    "MainKind",
    "foreign_key_check",
    "integrity_check",
    "main_alone",
    "open_evidence",
    "open_private",
    "open_readable",
    "quick_check",
]

MAX_PROBLEMS = 100
"""Problem lines kept; SQLite stops looking at as many."""

_STEPS = 20_000  # virtual-machine steps between two looks at the clock


def quick_check(connection: sqlite3.Connection, limit: int = MAX_PROBLEMS) -> tuple[str, ...]:
    """Return what ``PRAGMA quick_check`` complains of, at most ``limit`` lines; empty means sound.

    Structure of all trees, without comparing indexes with tables
    (https://sqlite.org/pragma.html#pragma_quick_check). A database too damaged to check, or a check cut off
    by the deadline, is one line too.
    """
    return _check(connection, "quick_check", limit)


def integrity_check(connection: sqlite3.Connection, limit: int = MAX_PROBLEMS) -> tuple[str, ...]:
    """Return what ``PRAGMA integrity_check`` complains of: quick_check, plus indexes and UNIQUE."""
    return _check(connection, "integrity_check", limit)


def foreign_key_check(connection: sqlite3.Connection, limit: int = MAX_PROBLEMS) -> tuple[str, ...]:
    """Return rows whose foreign key points nowhere, one line each, at most ``limit``; empty means none.

    https://sqlite.org/pragma.html#pragma_foreign_key_check . Integrity_check doesn't look at this.
    """
    try:
        rows = connection.execute("pragma foreign_key_check").fetchmany(limit)
    except sqlite3.Error as error:
        return (f"foreign_key_check failed: {error}",)
    return tuple(f"{table} row {rowid} refers to no row of {parent} (key {key})" for table, rowid, parent, key in rows)


def _check(connection: sqlite3.Connection, pragma: str, limit: int) -> tuple[str, ...]:
    limit = max(1, limit)
    lines: list[str] = []
    rows = 0
    try:
        for (text,) in connection.execute(f"pragma {pragma}({limit})"):
            rows += 1
            lines.extend(str(text).splitlines())
            if len(lines) >= limit:
                break
    except sqlite3.Error as error:
        # Damage can end the statement with an error after complaints have come, and the sqlite3 module, which
        # steps one row ahead, drops the row before the error. Ask for that one again, and for no more.
        with suppress(sqlite3.Error):
            again = f"select * from pragma_{pragma}({limit}) limit 1 offset {rows}"
            for (text,) in connection.execute(again):
                lines.extend(str(text).splitlines())
        lines[limit - 1 :] = [f"{pragma} failed: {error}"]
    return () if lines == ["ok"] else tuple(lines[:limit])


@contextmanager
def open_evidence(
    path: str | PathLike[str],
    *,
    scratch: str | PathLike[str] | None = None,
    max_bytes: int | None = None,
    seconds: float = 60.0,
) -> Iterator[sqlite3.Connection]:
    """Open a private copy of a database (main, ``-wal``, ``-journal``) as distrusted evidence; a context
    manager.

    The copy lies in a temporary directory (below ``scratch`` if given) and is removed on leaving, whatever
    the caller did to it. ``trusted_schema`` is off and ``cell_size_check`` on
    (https://sqlite.org/security.html). Statements are interrupted ``seconds`` after opening. The ``-shm``
    is not copied: the index is rebuilt from the WAL, as after a crash. Raises LimitError beyond
    ``max_bytes``, LabError when copying fails; sqlite3.DatabaseError comes from the first statement, not
    from here.
    """
    with tempfile.TemporaryDirectory(prefix="crashlab-evidence-", dir=scratch) as directory:
        copy = Triplet.of(path).copy_into(directory, max_bytes=max_bytes, shm=False)
        with open_private(copy.main, seconds=seconds) as connection:
            yield connection


@contextmanager
def open_readable(
    path: str | PathLike[str], *, scratch: str | PathLike[str] | None = None, seconds: float = 60.0
) -> Iterator[sqlite3.Connection]:
    """Open a file that is itself a private copy and has no ``-journal``, without copying or changing it.

    Main file and ``-wal`` are linked into a temporary directory (below ``scratch``, on the same file system) and opened
    for reading only: nothing is checkpointed, and the index is built anew. Without hard links they are copied.
    """
    source = Triplet.of(path)
    with tempfile.TemporaryDirectory(prefix="crashlab-evidence-", dir=scratch) as directory:
        target = Path(directory) / source.main.name
        try:
            for one, other in ((source.main, target), (source.wal, Path(f"{target}-wal"))):
                if one.exists():
                    os.link(one, other)
        except OSError:
            with open_evidence(path, scratch=scratch, seconds=seconds) as connection:
                yield connection
            return
        uri = f"file:{quote(target.as_posix())}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            _distrust(connection, seconds)
            yield connection


@contextmanager
def open_private(path: str | PathLike[str], *, seconds: float = 60.0) -> Iterator[sqlite3.Connection]:
    """Open a file that is itself a private copy, with the same distrust; the file is not copied and may change."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        _distrust(connection, seconds)
        yield connection


def _distrust(connection: sqlite3.Connection, seconds: float) -> None:
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)
    distrust(connection)


class MainKind(StrEnum):
    """What the main file is without its WAL."""

    READABLE = "readable"
    NO_SCHEMA = "no-schema"
    MALFORMED = "malformed"
    EMPTY = "empty"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class MainAlone:
    """What the main file alone would be.

    ``rows`` counts the named tables that are there. ``readable`` means that every named table that is there
    could be counted and at least one is; ``no-schema`` that the file opens but has none of them; ``detail``
    is SQLite's message, or names the tables that are missing.
    """

    kind: MainKind
    rows: dict[str, int] = field(default_factory=dict)
    detail: str = ""


def main_alone(
    path: str | PathLike[str],
    tables: Sequence[str],
    *,
    scratch: str | PathLike[str] | None = None,
    seconds: float = 60.0,
) -> MainAlone:
    """Say what is left when only the main file survives (a copy without its ``-wal``, a deleted WAL).

    ``path`` is a main file that no process has open. It is copied alone into a temporary directory and
    opened there with ``immutable=1``, harmless on a private file (https://sqlite.org/uri.html). Without
    ``tables`` every ordinary table is counted. Never raises for what the file holds.
    """
    source = Path(path)
    try:
        size = source.stat().st_size
    except FileNotFoundError:
        return MainAlone(MainKind.MISSING, detail=f"{source} is not there")
    if not size:
        return MainAlone(MainKind.EMPTY, detail=f"{source} has 0 bytes")
    with tempfile.TemporaryDirectory(prefix="crashlab-main-", dir=scratch) as directory:
        copy = Path(directory) / "main.db"
        shutil.copyfile(source, copy)
        uri = f"file:{quote(copy.as_posix())}?immutable=1&mode=ro"
        rows: dict[str, int] = {}
        try:
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                _distrust(connection, seconds)
                listed = connection.execute("select name from sqlite_master where type='table'")
                there = [str(name) for (name,) in listed if not str(name).startswith("sqlite_")]
                wanted = list(tables) if tables else there
                for table in wanted:
                    if table in there:
                        quoted = table.replace('"', '""')
                        # not count(*) alone: SQLite would count an index and never look at the rows
                        counting = f'select count(*) from "{quoted}" not indexed'
                        rows[table] = connection.execute(counting).fetchone()[0]
        except sqlite3.Error as error:
            return MainAlone(MainKind.MALFORMED, rows, str(error))
    missing = [table for table in wanted if table not in rows]
    if not rows:
        detail = f"no table {', '.join(missing)}" if missing else "no tables"
        return MainAlone(MainKind.NO_SCHEMA, rows, detail)
    return MainAlone(MainKind.READABLE, rows, f"no table {', '.join(missing)}" if missing else "")
