"""What every write of the books needs: atomic blocks, a clock that does not run backwards, open sessions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from store.connection import Database
from store.errors import StoreValidation
from store.validation import integer

CLOCK_SLACK_NS: Final = 10**9
"""So far a clock may step back unnoticed: coarse ticks and small corrections of the time service."""


class BookWrites(Database):
    """Blocks of several statements, and the times they carry."""

    CLOCK_SLACK_NS: ClassVar[int] = CLOCK_SLACK_NS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._latest_now = 0

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """Make all of a block's writes or none, also inside an open `transaction()`.

        There a caller may catch the error and go on; without the savepoint it would then commit half a block.
        """
        with self._lock:
            if not self._in_block:
                with self.transaction():
                    yield
                return
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
        self._check_clock(now, self._latest_now)
        self._latest_now = max(self._latest_now, now)
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

    def _require_session(self, session_id: int, now: int) -> None:
        """Raise StoreValidation unless the session is open and began before `now`."""
        rows = self._read("SELECT started_at, ended_at FROM sessions WHERE session_id = ?", (session_id,))
        if not rows:
            raise StoreValidation(f"there is no session {session_id}")
        started_at, ended_at = rows[0]
        if ended_at is not None:
            raise StoreValidation(f"session {session_id} is closed; its books do not change any more")
        self._check_clock(now, started_at)


def is_duplicate(error: sqlite3.IntegrityError) -> bool:
    """Whether a UNIQUE constraint refused a row."""
    return error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE
