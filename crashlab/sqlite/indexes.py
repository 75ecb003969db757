"""Whether an index holds for every row of its table the values that the row has.

:func:`crashlab.sqlite.walk.walk` compares which rows an index lists; this compares the keys too, entry by entry
in Python, some 100,000 a second.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crashlab.sqlite.columns import index_columns, table_columns
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.records import Value
from crashlab.sqlite.rows import rows
from crashlab.sqlite.schema import Schema, SchemaEntry, Tree

__all__ = ["IndexCheck", "check_index"]

MAX_LISTED = 100
MAX_ROWS = 5_000_000
"""Rows that are told apart where an index differs; it takes some 100 bytes each."""
_WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)

Key = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """``reason`` is empty, or says why the index could not be compared.

    ``missing`` are entries that the table's rows call for and the index hasn't got, ``extra`` the reverse: the
    first MAX_LISTED of each, as the index would store them, of ``missing_count`` and ``extra_count``. A row with
    another key in the index is one of each. Where there are more than MAX_ROWS rows the counts are -1 and only
    ``same`` is told.
    """

    index: str
    table: str
    reason: str
    same: bool
    missing: tuple[Key, ...] = ()
    extra: tuple[Key, ...] = ()
    missing_count: int = 0
    extra_count: int = 0


def check_index(source: PageSource, schema: Schema, index: Tree) -> IndexCheck:
    """Compare an index with its table. Partial indexes and those on expressions or virtual columns are not compared."""
    table = schema.tree(index.table)
    reason, places = _places(schema, table, index)
    if reason or table is None:
        return IndexCheck(index.name, index.table, reason, same=False)
    wanted, listed = _Sum(), _Sum()
    for key in _wanted(source, table, places):
        wanted.add(key)
    for key in _listed(source, index):
        listed.add(key)
    if wanted == listed:
        return IndexCheck(index.name, index.table, "", same=True)
    if max(wanted.count, listed.count) > MAX_ROWS:
        return IndexCheck(index.name, index.table, "", same=False, missing_count=-1, extra_count=-1)
    hashes = {hash(key) for key in _wanted(source, table, places)}
    extra = _differing(_listed(source, index), hashes)
    hashes = {hash(key) for key in _listed(source, index)}
    missing = _differing(_wanted(source, table, places), hashes)
    return IndexCheck(
        index.name,
        index.table,
        "",
        same=False,
        missing=missing[0],
        extra=extra[0],
        missing_count=missing[1],
        extra_count=extra[1],
    )


def _differing(keys: Iterator[Key], hashes: set[int]) -> tuple[tuple[Key, ...], int]:
    listed: list[Key] = []
    count = 0
    for key in keys:
        if hash(key) not in hashes:
            count += 1
            if count <= MAX_LISTED:
                listed.append(key)
    return tuple(listed), count


@dataclass(slots=True)
class _Sum:
    count: int = 0
    total: int = 0

    def add(self, key: Key) -> None:
        self.count += 1
        self.total = (self.total + hash(key)) & 0xFFFFFFFFFFFFFFFF


def _places(schema: Schema, table: Tree | None, index: Tree) -> tuple[str, Sequence[int]]:
    """Why it can't be compared, or for each column of the index its place among the table's values (-1: the rowid)."""
    if table is None:
        return "its table is not in the schema", ()
    if _WHERE.search(index.sql):
        return "it is a partial index", ()
    columns = table_columns(table.name, table.sql)
    entry = SchemaEntry("table", table.name, table.table, table.root, table.sql)
    stored = index_columns(entry, SchemaEntry("index", index.name, index.table, index.root, index.sql))
    if columns is None or stored is None:
        return "it is on an expression, or its statement can't be parsed", ()
    names = [name.lower() for name in columns.names]
    try:
        return "", [names.index(name.lower()) if name else -1 for name in stored]
    except ValueError:
        return "it is on a virtual column", ()


def _wanted(source: PageSource, table: Tree, places: Sequence[int]) -> Iterator[Key]:
    columns = table_columns(table.name, table.sql)
    for row in rows(source, table, columns):
        if not row.problem:
            yield tuple(row.rowid if place < 0 else row.values[place] for place in places)


def _listed(source: PageSource, index: Tree) -> Iterator[Key]:
    for row in rows(source, index):
        if not row.problem:
            yield row.values
