"""The new database while it is made: an empty file, opened by SQLite, that takes a stranger's statements with care."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from crashlab.sqlite.header import DatabaseHeader

__all__ = ["ASIDE", "STATEMENT_ERRORS", "Target", "new_database", "opened", "quoted"]

ASIDE = "crashlab_aside_"
"""What the names of tables begin with that hold rows which could not be put where they belong."""
STATEMENT_ERRORS = (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError, OverflowError)
SQL_MAX = 1_000_000
_SUPPLIED_MAX = 50
_STEPS = 100_000
_MISSING = re.compile(r"no such (function|collation sequence): (.+)", re.DOTALL)
_CREATE = re.compile(r"\s*create\b", re.IGNORECASE)
_DENIED = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
_HARMLESS_PRAGMAS = {"data_version", "page_size", "table_xinfo", "index_list", "index_xinfo"}


def quoted(name: str) -> str:
    """An identifier for a statement, as a name of the new schema has it: what is no text is replaced there."""
    return '"' + _text(name).replace('"', '""').replace("\0", "") + '"'


class Target:
    """A connection to the new database, and what had to be said about its statements.

    `supplied`: collations and functions that the program had and this library has not; they do nothing here.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.supplied: list[str] = []

    def create(self, sql: str) -> str:
        """Run one CREATE statement of the old schema; returns the error, or nothing."""
        if not _CREATE.match(sql) or len(sql) > SQL_MAX:
            return "it is no CREATE statement" if len(sql) <= SQL_MAX else f"it has {len(sql)} characters"
        self.connection.set_authorizer(_authorize)
        try:
            return self._create(_text(sql))
        finally:
            self.connection.set_authorizer(None)

    def _create(self, sql: str) -> str:
        for _ in range(_SUPPLIED_MAX):
            try:
                self.connection.execute(sql)
            except STATEMENT_ERRORS as error:
                missing = _MISSING.fullmatch(str(error))
                if not missing:
                    return str(error)
                self.supply(missing[1], missing[2])
            else:
                return ""
        return f"it names more than {_SUPPLIED_MAX} functions and collations that are not here"

    def supply(self, kind: str, name: str) -> None:
        """Put something in the place of a function or collation of the program's own."""
        if kind == "function":
            self.connection.create_function(name, -1, lambda *_: None, deterministic=True)
        else:
            self.connection.create_collation(name, lambda one, other: (one > other) - (one < other))
        self.supplied.append(f"{kind.partition(' ')[0]} {name}")

    def run(self, sql: str, values: tuple[object, ...] = ()) -> str:
        """Run a statement of our own; returns the error, or nothing."""
        try:
            self.connection.execute(sql, values)
        except STATEMENT_ERRORS as error:
            return str(error)
        return ""

    def count(self, table: str) -> int:
        """Rows of a table by its b-tree; -1 where it can't be counted."""
        try:
            (count,) = self.connection.execute(f"select count(*) from {quoted(table)} not indexed").fetchone()
        except STATEMENT_ERRORS:
            return -1
        return int(count)

    def has(self, kind: str, name: str) -> bool:
        """Whether the schema has this entry, the name in any case."""
        sql = "select 1 from sqlite_master where type = ? and lower(name) = lower(?)"
        return self.connection.execute(sql, (kind, _text(name))).fetchone() is not None


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _DENIED or (action == sqlite3.SQLITE_PRAGMA and first not in _HARMLESS_PRAGMAS):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


@contextmanager
def new_database(path: Path, header: DatabaseHeader | None, *, seconds: float) -> Iterator[Target]:
    """Make an empty database like the old one, for rows: page size, encoding and auto-vacuum are kept.

    Nothing is synced and there is no journal: the file is nobody's before it is whole. Raises FileExistsError.
    """
    path.touch(exist_ok=False)
    with opened(path, seconds=seconds) as target:
        run = target.connection.execute
        if header is not None:
            run(f"pragma page_size={header.page_size}")
            if header.encoding.startswith("UTF-"):
                run(f"pragma encoding='{header.encoding}'")
            run(f"pragma auto_vacuum={header.auto_vacuum}")
        run("pragma journal_mode=off")
        run("pragma synchronous=off")
        run("pragma ignore_check_constraints=on")  # a row that was there is put back as it was
        run("begin")
        yield target
        run("commit")
        if header is not None:
            run(f"pragma user_version={_signed(header.user_version)}")
            run(f"pragma application_id={_signed(header.application_id)}")
            run("pragma journal_mode=delete")
            if header.wal_mode:
                run("pragma journal_mode=wal")


@contextmanager
def opened(path: Path, *, seconds: float) -> Iterator[Target]:
    """Open a database that is our own; statements end after `seconds`. Foreign keys are not enforced."""
    end = time.monotonic() + seconds
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        connection.execute("pragma foreign_keys=off")
        yield Target(connection)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
