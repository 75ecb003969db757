"""A drop-in for `sqlite3.connect` whose connections mark commits, checkpoints and closes in the log."""

import re
import sqlite3
import weakref
from collections.abc import Callable
from typing import Any

from crashlab.model.phase import MARK_CHECKPOINT, MARK_COMMIT, MARK_CONNECTION_CLOSE
from crashlab.writers.marks import Marks

_COMMENT = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_CHECKPOINT = re.compile(r"PRAGMA\s+(?:\w+\.)?wal_checkpoint\s*(?:[(=]\s*['\"]?(\w+))?", re.IGNORECASE)
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "VACUUM", "WITH"})
_KINDS_MAX = 1024

SETTINGS = (
    "journal_mode",
    "synchronous",
    "wal_autocheckpoint",
    "busy_timeout",
    "page_size",
    "mmap_size",
    "locking_mode",
    "foreign_keys",
)


def classify(sql: str) -> tuple[str, str]:
    """Return the mark that a statement deserves and its detail: a commit, a checkpoint, a write, or none."""
    text = _COMMENT.sub("", sql)
    word = text[:12].split(None, 1)[0].rstrip(";").upper() if text.strip() else ""
    if word in ("COMMIT", "END"):
        return MARK_COMMIT, ""
    if word == "PRAGMA":
        checkpoint = _CHECKPOINT.match(text)
        if checkpoint:
            return MARK_CHECKPOINT, (checkpoint[1] or "PASSIVE").upper()
        return "", ""
    return ("write", "") if word in _WRITES else ("", "")


class ConnectMaker:
    """Makes the `connect()` that a workload is handed; remembers its open connections weakly."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._classes: dict[type[sqlite3.Connection], type[sqlite3.Connection]] = {}
        self.connections: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """`sqlite3.connect` with marks; a factory of the program's own is kept and extended."""
        factory = kwargs.pop("factory", sqlite3.Connection)
        if factory not in self._classes:
            self._classes[factory] = _marked(factory, self._marks)
        connection = sqlite3.connect(*args, factory=self._classes[factory], **kwargs)
        self.connections.add(connection)
        return connection

    def effective_settings(self) -> dict[str, str]:
        """Read the settings in force on the newest writable connection, for the environment stamp."""
        found: dict[str, str] = {}
        for connection in list(self.connections):
            try:
                if connection.execute("PRAGMA query_only").fetchone()[0]:
                    continue
                for name in SETTINGS:
                    row = connection.execute(f"PRAGMA {name}").fetchone()
                    found[name] = str(row[0]) if row else ""
            except sqlite3.Error:
                continue  # closed, or of another thread: its settings cannot be read from here
        return found


def _marked(base: type[sqlite3.Connection], marks: Marks) -> type[sqlite3.Connection]:
    kinds: dict[str, tuple[str, str]] = {}

    def mark_of(connection: sqlite3.Connection, sql: str) -> tuple[str, str]:
        kind = kinds.get(sql)
        if kind is None:
            if len(kinds) >= _KINDS_MAX:
                kinds.clear()
            kind = kinds[sql] = classify(sql)
        mark, detail = kind
        if mark == "write":
            if connection.in_transaction or not _autocommits(connection):
                return "", ""
            mark = MARK_COMMIT  # a statement of its own in autocommit mode commits itself
        return mark, detail

    # A traceback that the program keeps holds what the frames in it hold. An unfinished or failed statement of a
    # cursor held there would keep SQLite's connection open beyond close(), so on an error a frame lets go of it.
    def run(call: Callable[..., Any] | None, mark: str, detail: str, sql: str, *args: Any) -> Any:
        assert call is not None
        try:
            if not mark:
                return call(sql, *args)
            marks.enter(mark, detail)
            try:
                return call(sql, *args)
            finally:
                marks.leave(mark, detail)
        except BaseException:
            call = None
            raise

    class MarkedCursor(sqlite3.Cursor):
        def execute(self, sql: str, *args: Any) -> Any:
            try:
                return run(super().execute, *mark_of(self.connection, sql), sql, *args)
            except BaseException:
                self = None  # type: ignore[assignment]
                raise

        def executemany(self, sql: str, *args: Any) -> Any:
            try:
                return run(super().executemany, *mark_of(self.connection, sql), sql, *args)
            except BaseException:
                self = None  # type: ignore[assignment]
                raise

        def executescript(self, sql: str) -> Any:
            with marks.inside(MARK_COMMIT, "script"):
                return super().executescript(sql)

    class MarkedConnection(base):  # type: ignore[valid-type,misc]
        def cursor(self, factory: Any = MarkedCursor) -> Any:
            return super().cursor(factory)

        # CPython's own shortcuts make their cursor in C, past the overridden cursor().
        def execute(self, sql: str, *args: Any) -> Any:
            return self.cursor().execute(sql, *args)

        def executemany(self, sql: str, *args: Any) -> Any:
            return self.cursor().executemany(sql, *args)

        def executescript(self, sql: str) -> Any:
            return self.cursor().executescript(sql)

        def commit(self) -> None:
            if not self.in_transaction:
                super().commit()
                return
            with marks.inside(MARK_COMMIT):
                super().commit()

        def __exit__(self, *exc_info: Any) -> Any:
            if exc_info[0] is not None or not self.in_transaction:
                return super().__exit__(*exc_info)
            with marks.inside(MARK_COMMIT):
                return super().__exit__(*exc_info)

        def close(self) -> None:
            # Close of the last connection checkpoints and deletes the WAL: a phase of its own.
            with marks.inside(MARK_CONNECTION_CLOSE):
                super().close()

    return MarkedConnection


def _autocommits(connection: sqlite3.Connection) -> bool:
    return connection.isolation_level is None or getattr(connection, "autocommit", -1) is True
