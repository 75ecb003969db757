"""Sessions: one row for each conversation."""

from store.errors import StoreValidation
from store.message_log.records import SESSION_COLUMNS, ChatSession
from store.opening import Opening
from store.validation import MAX_INTEGER, integer, name


class ChatSessions(Opening):
    """Creating, closing and listing sessions."""

    def create_session(self, key: str | None = None) -> int:
        """Open a session and return its number; with a `key` used before, the number of that session.

        So a caller that does not know whether its first attempt was committed may simply repeat it.
        """
        if key is not None:
            name(key, "key")
        with self.transaction():
            if key is not None:
                rows = self._read("SELECT session_id FROM sessions WHERE session_key = ?", (key,))
                if rows:
                    return int(rows[0][0])
            return self._write("INSERT INTO sessions (session_key, started_at) VALUES (?, ?)", (key, self._now()))[0]

    def close_session(self, session_id: int) -> bool:
        """Set `ended_at`; True when this call closed it, False when it was closed before.

        A clock that went backwards does not put the end before the start. Raises StoreValidation when
        there is no such session.
        """
        with self.transaction():
            if self._session(session_id).ended_at is not None:
                return False
            self._write(
                "UPDATE sessions SET ended_at = max(?, started_at) WHERE session_id = ?", (self._now(), session_id)
            )
            return True

    def get_session(self, session_id: int) -> ChatSession | None:
        """The session, or None."""
        rows = self._read(
            f"SELECT {SESSION_COLUMNS} FROM sessions WHERE session_id = ?", (integer(session_id, "session_id", 1),)
        )
        return ChatSession(*rows[0]) if rows else None

    def sessions(self, *, after: int = 0, limit: int | None = None) -> list[ChatSession]:
        """Sessions with a number above `after`, oldest first; `limit=None` means all."""
        values = (integer(after, "after"), MAX_INTEGER if limit is None else integer(limit, "limit", 1))
        rows = self._read(
            f"SELECT {SESSION_COLUMNS} FROM sessions WHERE session_id > ? ORDER BY session_id LIMIT ?", values
        )
        return [ChatSession(*row) for row in rows]

    def _session(self, session_id: int) -> ChatSession:
        session = self.get_session(session_id)
        if session is None:
            raise StoreValidation(f"there is no session {session_id}; create_session() makes one")
        return session

    def _open_session(self, session_id: int) -> ChatSession:
        session = self._session(session_id)
        if session.ended_at is not None:
            raise StoreValidation(f"session {session_id} is closed; create a new one to write to")
        return session
