"""How a table's records map to its columns: names, order, the rowid's alias, values of columns added later.

SQLite itself parses the statement (:mod:`crashlab.sqlite.statements`).
"""

import sqlite3
from dataclasses import dataclass

from crashlab.sqlite.records import Value
from crashlab.sqlite.schema import SchemaEntry
from crashlab.sqlite.statements import create, empty_database

__all__ = ["Columns", "index_columns", "table_columns"]

_INTERNAL = {
    "sqlite_schema": ("type", "name", "tbl_name", "rootpage", "sql"),
    "sqlite_sequence": ("name", "seq"),
    "sqlite_stat1": ("tbl", "idx", "stat"),
    "sqlite_stat3": ("idx", "neq", "nlt", "ndlt", "sample"),
    "sqlite_stat4": ("tbl", "idx", "neq", "nlt", "ndlt", "sample"),
}
_ERRORS = (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a table stores, in declared order; virtual generated columns are not among them.

    ``stored[i]`` is the place in the record of column ``i``: ``i`` but for tables WITHOUT ROWID, whose
    primary key comes first. ``alias`` is the column that stands for the rowid (-1: none), which the record
    has as NULL. ``defaults[i]`` is the value where a record is too short for column ``i`` (a column added
    later), ``reals`` the columns whose whole numbers are floats that were stored small.
    """

    names: tuple[str, ...]
    stored: tuple[int, ...]
    alias: int
    defaults: tuple[Value, ...]
    reals: frozenset[int]
    without_rowid: bool

    def arrange(self, rowid: int | None, record: tuple[Value, ...]) -> tuple[Value, ...]:
        """Turn a record into the columns' values as a query would return them."""
        count = len(record)
        out = [
            record[place] if place < count else default
            for place, default in zip(self.stored, self.defaults, strict=True)
        ]
        if self.alias >= 0:
            out[self.alias] = rowid
        for column in self.reals:
            value = out[column]
            if type(value) is int:
                out[column] = float(value)
        return tuple(out)


def table_columns(name: str, sql: str) -> Columns | None:
    """Columns of a table by its CREATE TABLE statement; None where SQLite can't make sense of it."""
    if name.lower() in _INTERNAL:
        names = _INTERNAL[name.lower()]
        return Columns(names, tuple(range(len(names))), -1, (None,) * len(names), frozenset(), without_rowid=False)
    try:
        with empty_database() as connection:
            create(connection, sql)
            return _columns(connection, name)
    except _ERRORS:
        return None


def index_columns(table: SchemaEntry, index: SchemaEntry) -> tuple[str, ...] | None:
    """Names of the columns that an index stores, in order; a last empty one is the rowid.

    None for an index on expressions, and where SQLite can't make sense of a statement.
    """
    quoted = '"' + index.name.replace('"', '""') + '"'
    try:
        with empty_database() as connection:
            create(connection, table.sql)
            if index.sql:
                create(connection, index.sql)
            listed = list(connection.execute(f"pragma index_xinfo({quoted})"))
    except _ERRORS:
        return None
    if not listed or any(row[1] == -2 for row in listed):
        return None
    return tuple("" if row[1] == -1 else str(row[2]) for row in listed)


def _columns(connection: sqlite3.Connection, name: str) -> Columns | None:
    quoted = '"' + name.replace('"', '""') + '"'
    declared = [row for row in connection.execute(f"pragma table_xinfo({quoted})") if row[6] != 2]
    if not declared:
        return None
    names = tuple(str(row[1]) for row in declared)
    types = [str(row[2]) for row in declared]
    key = list(connection.execute(f"pragma index_xinfo({quoted})"))  # a table's name: only if it is WITHOUT ROWID
    stored = tuple(range(len(names)))
    alias = -1
    if key:
        order = [str(row[2]) for row in key]
        stored = tuple(order.index(column) for column in names)
    else:
        primary = [at for at, row in enumerate(declared) if row[5]]
        an_index = any(row[3] == "pk" for row in connection.execute(f"pragma index_list({quoted})"))
        if len(primary) == 1 and types[primary[0]].upper() == "INTEGER" and not an_index:
            alias = primary[0]
    defaults = tuple(_default(connection, kind, row[4]) for kind, row in zip(types, declared, strict=True))
    reals = frozenset(at for at, kind in enumerate(types) if _is_real(kind))
    return Columns(names, stored, alias, defaults, reals, without_rowid=bool(key))


def _default(connection: sqlite3.Connection, kind: str, expression: str | None) -> Value:
    """The default as the column's affinity makes it. Only constants can be added to a table that has rows."""
    if expression is None or expression.upper() == "NULL":
        return None
    quoted = '"' + kind.replace('"', '""') + '"'
    try:
        connection.set_authorizer(None)
        connection.execute("drop table if exists temp.crashlab_default")
        connection.execute(f"create temp table crashlab_default(value {quoted} default {expression})")
        connection.set_authorizer(_constants_only)
        connection.execute("insert into temp.crashlab_default default values")
        (value,) = connection.execute("select value from temp.crashlab_default").fetchone()
    except (sqlite3.Error, sqlite3.Warning):
        return None
    found: Value = value
    return found


def _constants_only(action: int, *_: str | None) -> int:
    reading = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT)
    return sqlite3.SQLITE_OK if action in reading else sqlite3.SQLITE_DENY


def _is_real(kind: str) -> bool:
    """Column affinity (datatype3.html#determination_of_column_affinity): the rules are tried in this order."""
    upper = kind.upper()
    if any(word in upper for word in ("INT", "CHAR", "CLOB", "TEXT", "BLOB")) or not kind:
        return False
    return any(word in upper for word in ("REAL", "FLOA", "DOUB"))
