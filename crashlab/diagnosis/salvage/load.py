"""Rows put into one table of the new database, none lost: what does not fit there is set aside in a table beside it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from crashlab.diagnosis.salvage.target import ASIDE, STATEMENT_ERRORS, Target, quoted
from crashlab.sqlite.columns import Columns
from crashlab.sqlite.records import Value

__all__ = ["Loader", "Place"]

_ROWID_NAMES = ("rowid", "_rowid_", "oid")
_SHAPES_MAX = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A row as the table stores it: rowid (None without one) and the values of all stored columns, in order."""

    rowid: int | None
    values: tuple[Value, ...]


class Loader:
    """Puts rows into one table. `encoding`: Python's name of the database's.

    `loaded`, `aside`, `same`: rows put in, set aside, and left out because the very same row was there.
    """

    def __init__(self, target: Target, table: str, columns: Columns, encoding: str) -> None:
        self.target, self.table, self.columns, self.encoding = target, table, columns, encoding
        self.loaded = self.aside = self.same = 0
        self.aside_table = ""
        info = list(target.connection.execute(f"pragma table_xinfo({quoted(table)})"))
        hidden = {str(row[1]).lower(): row[6] for row in info}
        primary = sorted((row[5], str(row[1])) for row in info if row[5])
        names = columns.names
        # A stored generated column is computed anew.
        self.taken = [at for at, name in enumerate(names) if hidden.get(name.lower(), 0) == 0]
        known = {name.lower() for name in names}
        free = next((name for name in _ROWID_NAMES if name not in known), "")
        self.rowid_name = "" if columns.without_rowid else free
        self.keeps_rowids = bool(free) or columns.alias >= 0 or columns.without_rowid
        if columns.without_rowid:
            by_name = {name.lower(): at for at, name in enumerate(names)}
            self.key = [by_name[name.lower()] for _, name in primary if name.lower() in by_name]
        else:
            self.key = []
        self._inserts: dict[tuple[int, ...], str] = {}
        self._listed = ", ".join(quoted(names[at]) for at in self.taken)

    def arranged(self, rowid: int | None, record: tuple[Value, ...]) -> Place:
        """A record as this table's row."""
        return Place(rowid, self.columns.arrange(rowid, record))

    def fits(self, record: tuple[Value, ...]) -> bool:
        """Whether a record can be one of this table's, by the number of its columns."""
        return len(record) <= len(self.columns.names)

    def insert(self, place: Place, *, keep_rowid: bool = True) -> str:
        """Put a row in; returns the error, or nothing."""
        rowid, values = place.rowid, place.values
        with_rowid = bool(self.rowid_name) and rowid is not None and keep_rowid
        bound: list[Value] = [rowid] if with_rowid else []
        bound += [None if at == self.columns.alias and not keep_rowid else values[at] for at in self.taken]
        raw = tuple(at for at, value in enumerate(bound) if isinstance(value, str) and not _is_text(value))
        for at in raw:
            bound[at] = _bytes(str(bound[at]), self.encoding)
        try:
            self.target.connection.execute(self._sql(raw, with_rowid=with_rowid), bound)
        except STATEMENT_ERRORS as error:
            return str(error)
        self.loaded += 1
        return ""

    def put(self, place: Place, source: str) -> bool:
        """Put a row in, or set it aside with SQLite's reason; whether it is in the table now (or was)."""
        error = self.insert(place)
        if not error:
            return True
        if self.found(place) == self.comparable(place):
            self.same += 1
            return True
        self.set_aside(place.rowid, place.values, error, source)
        return False

    def found(self, place: Place) -> tuple[Value, ...] | None:
        """The values that the table has under this row's key; None where it has none."""
        if self.key:
            where = " and ".join(f"{quoted(self.columns.names[at])} is ?" for at in self.key)
            bound: Sequence[Value] = [place.values[at] for at in self.key]
        elif self.rowid_name or self.columns.alias >= 0:
            where = f"{self.rowid_name or quoted(self.columns.names[self.columns.alias])} = ?"
            bound = [place.rowid]
        else:
            return None
        sql = f"select {self._listed} from {quoted(self.table)} where {where}"
        try:
            row = self.target.connection.execute(sql, bound).fetchone()
        except STATEMENT_ERRORS:
            return None
        return None if row is None else tuple(row)

    def comparable(self, place: Place) -> tuple[Value, ...]:
        """A row's values as `found` would give them."""
        return tuple(place.values[at] for at in self.taken)

    def set_aside(self, rowid: int | None, values: tuple[Value, ...], reason: str, source: str) -> None:
        """Keep a row that can't be where it belongs, with the reason and where it came from."""
        self.aside_table = aside(
            self.target, self.table, self.columns.names, rowid, values, reason, source, encoding=self.encoding
        )
        self.aside += 1

    def _sql(self, raw: tuple[int, ...], *, with_rowid: bool) -> str:
        """The statement; at the places `raw` text comes as bytes, since it is not valid in the encoding."""
        shape = (*raw, -1 if with_rowid else -2)
        if shape not in self._inserts:
            if len(self._inserts) >= _SHAPES_MAX:
                self._inserts.clear()
            count = len(self.taken) + with_rowid
            marks = ", ".join("cast(? as text)" if at in raw else "?" for at in range(count))
            names = ", ".join(filter(None, (self.rowid_name if with_rowid else "", self._listed)))
            self._inserts[shape] = f"insert into {quoted(self.table)}({names}) values ({marks})"
        return self._inserts[shape]


def aside(
    target: Target,
    table: str,
    names: Sequence[str],
    rowid: int | None,
    values: tuple[Value, ...],
    reason: str,
    source: str,
    *,
    encoding: str,
) -> str:
    """Put a row into the table of rows set aside, which is made for the first; returns that table's name."""
    name = ASIDE + table
    columns = [f"c{at}_{column}"[:60] for at, column in enumerate(names)]
    if not target.has("table", name):
        listed = ", ".join(quoted(column) for column in columns)
        target.connection.execute(f"create table {quoted(name)}(reason, source, id{', ' if listed else ''}{listed})")
    kept = values[: len(columns)]
    bound: list[Value] = [reason, source, rowid, *kept, *([None] * (len(columns) - len(kept)))]
    bound = [_bytes(value, encoding) if isinstance(value, str) and not _is_text(value) else value for value in bound]
    marks = ", ".join("?" * len(bound))
    try:
        target.connection.execute(f"insert into {quoted(name)} values ({marks})", bound)
    except sqlite3.Error as error:  # there is no constraint that it could break
        raise RuntimeError(f"can't set a row of {table} aside: {error}") from error
    return name


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(value: str, encoding: str) -> bytes:
    return value.encode(encoding, "surrogateescape" if encoding == "utf-8" else "surrogatepass")
