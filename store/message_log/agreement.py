"""Whether the indexes agree with the table, row by row.

Two methods that share nothing: FTS5's own integrity-check, and a comparison of every entry of the index with
what a fresh index of the same text holds. The first says whether, the second says which rows.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from store.message_log.schema import INDEXES, Index
from store.startup import primary_code

_MASK: Final = 2**64 - 1


class Disagreement(NamedTuple):
    """A message that an index has wrong; `message_id` None for the index as a whole."""

    table: str
    message_id: int | None
    problem: str


def fts_disagreements(connection: sqlite3.Connection, *, thorough: bool = True) -> list[Disagreement]:
    """What the indexes of a message log have wrong; empty when they agree with the table.

    Not `thorough`, rows are compared only where integrity-check complains: on a large file that saves most
    of the time.

    Needs a connection in autocommit mode that may write: it works in one transaction, rolled back at the
    end. Memory is proportional to the messages, time to their text; temporary indexes go to SQLite's temporary
    file. Raises `sqlite3.Error` for damage that hides the table itself.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        return [found for index in INDEXES for found in _of_index(connection, index, thorough)]
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _of_index(connection: sqlite3.Connection, index: Index, thorough: bool) -> Iterator[Disagreement]:
    complaint = integrity_complaint(connection, index.table)
    if complaint is None and not thorough:
        return
    try:
        rows = list(_differing_rows(connection, index))
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        yield Disagreement(index.table, None, f"the index cannot be read: {error}")
        return
    yield from rows
    if complaint is not None and not rows:
        yield Disagreement(index.table, None, complaint)


def integrity_complaint(connection: sqlite3.Connection, table: str) -> str | None:
    """What FTS5's integrity-check says against an index, or None.

    Only with rank 1 does it compare an external-content index with its table
    (https://sqlite.org/fts5.html#the_integrity_check_command).
    """
    try:
        connection.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        return f"integrity-check: {error}"
    return None


def _differing_rows(connection: sqlite3.Connection, index: Index) -> Iterator[Disagreement]:
    table = index.table
    messages = {row[0] for row in connection.execute("SELECT message_id FROM messages")}
    indexed = {row[0] for row in connection.execute(f"SELECT id FROM {table}_docsize")}
    for message_id in sorted(messages - indexed):
        yield Disagreement(table, message_id, "not in the index")
    for message_id in sorted(indexed - messages):
        yield Disagreement(table, message_id, "in the index but not in the table")
    connection.execute(
        f"CREATE VIRTUAL TABLE temp.{table}_fresh USING fts5 (content, content = '', tokenize = '{index.tokenize}')"
    )
    connection.execute(f"INSERT INTO temp.{table}_fresh (rowid, content) SELECT message_id, content FROM main.messages")
    actual = _entries(connection, "main", table)
    expected = _entries(connection, "temp", f"{table}_fresh")
    for message_id in sorted(actual.keys() | expected.keys()):
        if message_id in messages ^ indexed:
            continue  # said above
        if actual.get(message_id, 0) != expected.get(message_id, 0):
            yield Disagreement(table, message_id, "its entries are not those of its text")


def _entries(connection: sqlite3.Connection, schema: str, table: str) -> dict[int, int]:
    """message → one number for all its (term, position) entries, in any order."""
    connection.execute(f"CREATE VIRTUAL TABLE temp.{table}_terms USING fts5vocab ('{schema}', '{table}', 'instance')")
    digests: defaultdict[int, int] = defaultdict(int)
    for term, message_id, position in connection.execute(f'SELECT term, doc, "offset" FROM temp.{table}_terms'):
        digests[message_id] = (digests[message_id] + hash((term, position))) & _MASK
    return digests
