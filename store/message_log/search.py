"""Search: a user's words as a query that FTS5 cannot misread, over a pool of readers."""

import sqlite3
from typing import Any, Final

from store.errors import StoreValidation
from store.message_log.readers import Readers
from store.message_log.records import MESSAGE_COLUMNS, Hit, Message
from store.message_log.schema import PLAIN, TRIGRAM
from store.opening import Opening
from store.startup import file_uri
from store.validation import integer, text

MAX_QUERY: Final = 1000  # characters
MAX_READERS: Final = 64
TRIGRAM_LEAST: Final = 3  # characters: a shorter text has no trigram

_COLUMNS: Final = ", ".join(f"m.{column}" for column in MESSAGE_COLUMNS.split(", "))


class Search(Opening):
    """Full-text search through at most `readers` read-only connections, opened when needed."""

    def __init__(self, *args: Any, readers: int = 2, **options: Any) -> None:
        super().__init__(*args, **options)
        if integer(readers, "readers", 1) > MAX_READERS:
            raise StoreValidation(f"readers must be at most {MAX_READERS}, not {readers}")
        self._readers = Readers(self._open_reader, readers, self.BUSY_TIMEOUT_S)

    def search(
        self,
        query: str,
        *,
        trigram: bool = False,
        session_id: int | None = None,
        newest: bool = False,
        limit: int = 20,
    ) -> list[Hit]:
        """Messages that hold every word of `query`, or with `trigram` the whole text as a substring.

        Nothing in `query` is syntax. Best first, or with `newest` the newest first: cheaper, because the best
        are known only when all that match have been scored. Case is ignored, and by words diacritics too.
        Sees what was committed when it starts. Raises StoreValidation for a blank query, one of over
        `MAX_QUERY` characters, and a substring of fewer than three.
        """
        match = _phrase(query) if trigram else _words(query)
        table = (TRIGRAM if trigram else PLAIN).table
        values: list[object] = [match]
        where = f"f.{table} MATCH ?"
        if session_id is not None:
            where += " AND m.session_id = ?"
            values.append(integer(session_id, "session_id", 1))
        values.append(integer(limit, "limit", 1))
        order = "f.rowid DESC" if newest else "f.rank"
        sql = (
            f"SELECT {_COLUMNS}, f.rank FROM {table} AS f CROSS JOIN messages AS m ON m.message_id = f.rowid"
            f" WHERE {where} ORDER BY {order} LIMIT ?"
        )
        return [Hit(Message(*row[:-1]), row[-1]) for row in self._query(sql, values)]

    def _query(self, sql: str, values: list[object]) -> list[Any]:
        self._require()  # without the lock: a search does not wait for a VACUUM
        if self._path is None:  # another connection would be another database
            return self._read(sql, values)
        with self._readers.borrow() as reader:
            return reader.execute(sql, values).fetchall()

    def _open_reader(self) -> sqlite3.Connection:
        assert self._path is not None
        # By name: it would read another file than the writer's, or the writer's through a strange -wal.
        if self._files is not None and self._files.change() is not None:
            with self._lock:
                self._check_identity(self._require())
        return self._connect(
            file_uri(self._path, "ro"),
            uri=True,
            timeout=self.BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )


def _words(query: object) -> str:
    # Each word a string, in which only the quote is special (https://sqlite.org/fts5.html#fts5_strings).
    return " ".join(_quoted(word) for word in _checked(query).split())


def _phrase(query: object) -> str:
    checked = _checked(query)
    if len(checked) < TRIGRAM_LEAST:
        raise StoreValidation(f"a substring needs at least {TRIGRAM_LEAST} characters, not {len(checked)}")
    return _quoted(checked)


def _quoted(string: str) -> str:
    return '"' + string.replace('"', '""') + '"'


def _checked(query: object) -> str:
    checked = text(query, "query", MAX_QUERY)
    if not checked or checked.isspace():
        raise StoreValidation("query must not be empty")
    return checked
