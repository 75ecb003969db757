"""What a database holds, read by real SQLite from a private copy; it may be damaged, or a stranger's."""

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from crashlab.errors import LimitError
from crashlab.sqlite.check import integrity_check, open_private, quick_check
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.wal import parse_wal

__all__ = ["Column", "Content", "Reader", "copy_databases", "databases_in"]

_MAGIC = b"SQLite format 3\0"
_SIDECARS = ("-wal", "-journal")
COPY_BYTES_MAX = 1 << 30
ROWS_MAX = 2_000_000
CHECK_S = 60.0
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY 1"
_SCHEMA = "SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1"


class Column(msgspec.Struct):
    """What a column holds: whole numbers and text, as text; the largest number; its text alone."""

    name: str
    values: set[str]
    texts: set[str]
    high: int | None = None


class Content(msgspec.Struct):
    """What a database holds: its schema's objects, rows by table, and what a check complained of."""

    schema: tuple[str, ...] = ()
    rows: dict[str, int] = {}
    problem: str = ""
    frames: int = 0


def databases_in(directory: Path) -> tuple[str, ...]:
    """Return the names of the databases below a directory, relative: by their first bytes, or by what lies beside."""
    found: set[str] = set()
    for root, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            if os.path.islink(path) or not os.path.isfile(path):  # noqa: PTH113, PTH114 - this costs every trial time
                continue
            main = next((path.removesuffix(suffix) for suffix in _SIDECARS if name.endswith(suffix)), "")
            if main and os.path.isfile(main):  # noqa: PTH113
                found.add(main)
            elif _begins_so(path):
                found.add(path)
    return tuple(sorted(os.path.relpath(path, directory) for path in found))


def _begins_so(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def copy_databases(source: Path, names: tuple[str, ...], target: Path) -> dict[str, int]:
    """Copy databases with their sidecars, before SQLite touches any; return the frames that only the WALs hold."""
    frames = {}
    for name in names:
        directory = (target / name).parent
        directory.mkdir(parents=True, exist_ok=True)
        copy = Triplet.of(source / name).copy_into(directory, max_bytes=COPY_BYTES_MAX, shm=False)
        frames[name] = parse_wal(copy.wal.read_bytes()).committed if copy.wal.exists() else 0
    return frames


class Reader:
    """Reads one database, recovering it; `path` is a copy that nobody else needs. A context manager.

    Raises:
        LimitError: it has more rows than are read.
    """

    def __init__(self, path: Path) -> None:
        self._opened = open_private(path, seconds=CHECK_S)

    def __enter__(self) -> "Reader":
        self._connection = self._opened.__enter__()
        self._connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return self

    def __exit__(self, *told: Any) -> None:
        self._opened.__exit__(*told)

    def check(self, kind: str) -> str:
        """Return what `integrity_check` or `quick_check` complains of, '' if nothing."""
        try:
            found = (integrity_check if kind == "integrity_check" else quick_check)(self._connection, 5)
        except sqlite3.Error as error:
            return str(error)
        return "; ".join(found)

    def content(self, check: str) -> Content:
        """Return what it holds, after a check; nothing but the problem if there is one."""
        problem = self.check(check)
        if problem:
            return Content(problem=problem)
        try:
            schema = tuple(row[0] for row in self._connection.execute(_SCHEMA))
            rows = {}
            for (table,) in self._connection.execute(_TABLES).fetchall():
                rows[table] = self._connection.execute(f"SELECT count(*) FROM {quoted(table)} NOT INDEXED").fetchone()[
                    0
                ]
        except sqlite3.Error as error:
            return Content(problem=str(error))
        return Content(schema, rows)

    def columns(self, table: str) -> list[Column]:
        """Return what each column of a table holds; none where SQLite cannot say."""
        try:
            cursor = self._connection.execute(f"SELECT * FROM {quoted(table)} NOT INDEXED")
            found = [Column(each[0], set(), set()) for each in cursor.description]
            for number, row in enumerate(cursor):
                if number >= ROWS_MAX:
                    raise LimitError(f"table {table} has more than {ROWS_MAX} rows; give the program less to do")
                for column, value in zip(found, row, strict=True):
                    if isinstance(value, int):
                        column.values.add(str(value))
                        column.high = value if column.high is None else max(column.high, value)
                    elif isinstance(value, str):
                        column.values.add(value)
                        column.texts.add(value)
        except sqlite3.Error:
            return []
        return found


def remove_tree(path: Path) -> None:
    """Remove a directory, whatever rights the program left on it."""

    def again(function: Any, failed: str, _error: Any) -> None:
        for each in (Path(failed).parent, Path(failed)):
            if each.exists() and not each.is_symlink():
                each.chmod(0o700)
        function(failed)

    try:
        shutil.rmtree(path, onerror=again)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
