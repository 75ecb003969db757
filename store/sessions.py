"""Sessions: one row for each run of the engine."""

import sqlite3
from typing import NamedTuple

from store.connection import Database
from store.errors import StoreValidation
from store.validation import integer

_COLUMNS = "session_id, parent_id, started_at, ended_at"


class Session(NamedTuple):
    """A run of the engine; times in nanoseconds since 1970, `ended_at` None while it is open."""

    session_id: int
    parent_id: int | None
    started_at: int
    ended_at: int | None


class Sessions(Database):
    """Creating, closing and listing sessions."""

    def create_session(self, parent: int | None = None) -> int:
        """Open a session and return its number; `parent` is the session it recovers.

        Raises StoreValidation when there is no such parent.
        """
        if parent is not None:
            integer(parent, "parent", least=1)
        try:
            row, _ = self._write(
                "INSERT INTO sessions (parent_id, started_at) VALUES (?, ?)",
                (parent, self._clock()),
            )
        except sqlite3.IntegrityError as error:
            raise StoreValidation(f"there is no session {parent} to be the parent") from error
        return row

    def close_session(self, session_id: int) -> bool:
        """Set `ended_at`; True when this call closed it, False when it was closed before.

        Raises StoreValidation when there is no such session.
        """
        integer(session_id, "session_id", least=1)
        with self._lock:
            _, changed = self._write(
                "UPDATE sessions SET ended_at = ? WHERE session_id = ? AND ended_at IS NULL",
                (self._clock(), session_id),
            )
            if changed:
                return True
            if self.get_session(session_id) is None:
                raise StoreValidation(f"there is no session {session_id} to close")
            return False

    def get_session(self, session_id: int) -> Session | None:
        """The session, or None."""
        integer(session_id, "session_id", least=1)
        rows = self._read(f"SELECT {_COLUMNS} FROM sessions WHERE session_id = ?", (session_id,))
        return Session(*rows[0]) if rows else None

    def sessions(self) -> list[Session]:
        """All sessions, oldest first."""
        return [Session(*row) for row in self._read(f"SELECT {_COLUMNS} FROM sessions ORDER BY session_id")]

    def open_sessions(self) -> list[Session]:
        """Sessions without `ended_at`: the running one, and any that a crash left open."""
        rows = self._read(f"SELECT {_COLUMNS} FROM sessions WHERE ended_at IS NULL ORDER BY session_id")
        return [Session(*row) for row in rows]
