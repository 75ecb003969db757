"""The schema's statements, given to SQLite's own parser in an empty database in memory.

An authorizer lets them create what they say and nothing else. Functions and collations that a statement names
and this library hasn't got are supplied, as ones that do nothing, because the program had them.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crashlab.sqlite.schema import SchemaEntry

__all__ = ["create", "empty_database", "statement_problems"]

MAX_SQL = 1_000_000
"""Characters of a statement that are given to the parser."""
MAX_STATEMENTS = 4_000
"""Entries of a schema that are tried, the first ones: the time grows with the square of their number."""
_SUPPLIED_MAX = 50
_STEPS = 1_000_000
_MISSING = re.compile(r"no such (function|collation sequence): (.+)", re.DOTALL)
_PRAGMAS = {"table_xinfo", "index_list", "index_xinfo"}
_ALLOWED = {
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_REINDEX,
}
_ERRORS = (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError)
_ORDER = {"table": 0, "index": 1, "view": 2, "trigger": 3}


@contextmanager
def empty_database() -> Iterator[sqlite3.Connection]:
    """A database in memory that may do nothing but create tables, indexes, views and triggers, and describe them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.set_progress_handler(lambda: 1, _STEPS)
        connection.set_authorizer(authorize)
        yield connection


def authorize(action: int, first: str | None, *_: str | None) -> int:
    """The authorizer of :func:`empty_database`."""
    allowed = action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def create(connection: sqlite3.Connection, sql: str) -> None:
    """Run a CREATE statement; raises sqlite3.Error (or UnicodeError, ValueError) where it can't be."""
    if len(sql) > MAX_SQL:
        raise ValueError(f"a statement of {len(sql)} characters, the limit is {MAX_SQL}")
    sql = sql.encode(
        "utf-8", "replace"
    ).decode()  # SQLite takes text that is no valid UTF-8, its Python module does not
    for _ in range(_SUPPLIED_MAX):
        try:
            connection.execute(sql)
        except sqlite3.OperationalError as error:
            missing = _MISSING.fullmatch(str(error))
            if not missing:
                raise
            if missing[1] == "function":
                connection.create_function(missing[2], -1, lambda *_: None, deterministic=True)
            else:
                connection.create_collation(missing[2], lambda one, other: (one > other) - (one < other))
        else:
            return
    raise ValueError(f"it names more than {_SUPPLIED_MAX} functions and collations that are not here")


def statement_problems(entries: Sequence["SchemaEntry"]) -> list[tuple[str, str]]:
    """(name, error) of the entries that SQLite would call a malformed schema, at most 100.

    Virtual tables are not tried: their modules may not be here. One error keeps any program from opening the
    database, whatever its other pages are like.
    """
    found: list[tuple[str, str]] = []
    failed: set[str] = set()
    virtual = {entry.name.lower() for entry in entries if entry.type == "table" and not entry.root}
    virtual |= {entry.name.lower() for entry in entries[MAX_STATEMENTS:]}  # nor what belongs to one not tried
    tried = [entry for entry in entries[:MAX_STATEMENTS] if entry.type in _ORDER and not _left_out(entry)]
    with empty_database() as connection:
        for entry in sorted(tried, key=lambda entry: _ORDER[entry.type]):
            if not entry.sql or entry.table.lower() in failed | virtual:
                continue  # made by its table's statement, or no fault of its own
            try:
                create(connection, entry.sql)
            except _ERRORS as error:
                found.append((entry.name, str(error)))
                failed.add(entry.name.lower())
        connection.set_authorizer(None)
        made = set(connection.execute("select type, lower(name), lower(tbl_name) from sqlite_master"))
    wrong = failed | virtual
    for entry in tried:
        key = (entry.type, entry.name.lower(), entry.table.lower())
        if key not in made and not wrong.intersection(key):
            found.append((entry.name, f"its statement makes no {entry.type} of this name"))
    return found[:100]


def _left_out(entry: "SchemaEntry") -> bool:
    reserved = entry.type == "table" and entry.name.lower().startswith("sqlite_")
    return reserved or (entry.type == "table" and not entry.root)
