"""What every write of the books needs: atomic blocks, a clock that does not run backwards, open sessions."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Final, NoReturn

from store.connection import Database, Result
from store.errors import StoreError, StoreValidation
from store.validation import integer

CLOCK_SLACK_NS: Final = 10**9
"""So far a clock may step back unnoticed: coarse ticks and small corrections of the time service."""


IN_SESSION: Final = "FROM sessions WHERE session_id = ? AND ended_at IS NULL AND started_at <= ?"
"""Ends an INSERT ... SELECT that must find the session open; see `BookWrites._insert`."""


class BookWrites(Database):
    """Blocks of several statements, and the times they carry."""

    CLOCK_SLACK_NS: ClassVar[int] = CLOCK_SLACK_NS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._latest_now = 0

    def _atomic(self) -> AbstractContextManager[None]:
        """Make all of a block's writes or none, also inside an open `transaction()`."""
        with self._lock:  # once it is ours, an open block is this thread's
            return self._savepoint() if self._in_block else self.transaction()

    def _within(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Cursor], Result]) -> Result:
        with self._savepoint():
            return super()._within(connection, work)

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        # A caller may catch the error and go on; without this he would then commit half a block.
        with self._lock:
            connection = self._require()
            connection.execute("SAVEPOINT books")
            try:
                yield
            except BaseException:
                self._roll_back_to_savepoint()
                raise
            connection.execute("RELEASE books")

    def _roll_back_to_savepoint(self) -> None:
        # After some errors SQLite has rolled the whole transaction back itself, and close() may have been.
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.execute("ROLLBACK TO books")
            connection.execute("RELEASE books")

    def _now(self) -> int:
        """The clock's time, or StoreValidation when it has run backwards in this process."""
        now = integer(self._clock(), "the clock's time")
        if now >= self._latest_now:
            self._latest_now = now
        else:
            self._check_clock(now, self._latest_now)
        return now

    def _boundary_time(self) -> int:
        """A time later than every session's start and end and every capital event; within a block.

        Raises StoreValidation when the clock is behind them, whichever process wrote them.
        """
        latest = int(self._read("SELECT latest FROM books_clock")[0][0])
        now = integer(self._clock(), "the clock's time")
        self._check_clock(now, latest)
        ts = max(now, latest + 1)
        self._advance_boundary(ts)
        return ts

    def _advance_boundary(self, ts: int) -> None:
        self._write("UPDATE books_clock SET latest = max(latest, ?)", (ts,))

    def _check_clock(self, now: int, latest: int) -> None:
        if now < latest - self.CLOCK_SLACK_NS:
            raise StoreValidation(
                f"the clock runs backwards: {now}, {(latest - now) / 1e9:.3f} s before the latest recorded time; "
                "set the clock right and try again"
            )

    def _insert(self, sql: str, parameters: tuple[object, ...]) -> int | None:
        """Insert a row under a session that is open and began before now; the row id, or None if that fails.

        `sql` ends in `IN_SESSION`, `parameters` in the session and now plus `CLOCK_SLACK_NS`. None also when a unique
        key is taken. One statement, where checking first would be three; what is wrong is found out afterwards, by
        those who get None.
        """
        try:
            row, inserted = self._write(sql, parameters)
        except sqlite3.IntegrityError as error:
            only_taken(error)
            return None
        return row if inserted else None

    def _refuse_session(self, session_id: int, now: int) -> NoReturn:
        """Say why a row could not be inserted under the session."""
        self._require_session(session_id, now)
        raise StoreError(f"session {session_id} refused a row and is open; the database changed under this program")

    def _require_session(self, session_id: int, now: int) -> None:
        """Raise StoreValidation unless the session is open and began before `now`."""
        rows = self._read("SELECT started_at, ended_at FROM sessions WHERE session_id = ?", (session_id,))
        if not rows:
            raise StoreValidation(f"there is no session {session_id}")
        started_at, ended_at = rows[0]
        if ended_at is not None:
            raise StoreValidation(f"session {session_id} is closed; its books do not change any more")
        self._check_clock(now, started_at)


def only_taken(error: sqlite3.IntegrityError) -> None:
    """Raise the error again unless it says that a unique key is taken."""
    if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
        raise error
