"""Messages: appending, editing, deleting, and compacting a long conversation."""

from collections.abc import Iterable

from store.errors import StoreValidation
from store.message_log.records import MESSAGE_COLUMNS, ROLES, SUMMARY, Message
from store.message_log.sessions import ChatSessions
from store.validation import MAX_INTEGER, did_you_mean, integer, name, shown, text

_INSERT = "INSERT INTO messages (session_id, role, content, message_key, created_at) VALUES (?, ?, ?, ?, ?)"


class Messages(ChatSessions):
    """Writing and reading the table `messages`; the triggers keep the indexes."""

    def append(self, session_id: int, role: str, content: str, *, key: str | None = None, ts: int | None = None) -> int:
        """Append one message to an open session and return its number.

        `ts` (nanoseconds since 1970) defaults to the clock; the order is that of the numbers, whatever the
        clock does. With a `key` used before for the same session, role and content, nothing is written and
        the number of that message is returned. Raises StoreValidation for an unknown or closed
        session, an unknown role, a key of another message, and text that holds NUL or a lone surrogate.
        """
        _check_role(role)
        text(content, "content")
        if key is not None:
            name(key, "key")
        if ts is not None:
            integer(ts, "ts")
        integer(session_id, "session_id", 1)
        with self.transaction():
            if key is not None:
                known = self._by_key(key)
                if known is not None:
                    return _same(known, session_id, role, content)
            self._open_session(session_id)
            return self._insert_message(session_id, role, content, key, self._now() if ts is None else ts)

    def append_many(self, session_id: int, messages: Iterable[tuple[str, str]]) -> list[int]:
        """Append (role, content) pairs, all or none, as one write; returns their numbers."""
        checked = [(_check_role(role), text(content, "content")) for role, content in messages]
        integer(session_id, "session_id", 1)
        with self.transaction():
            self._open_session(session_id)
            now = self._now()
            return [self._insert_message(session_id, role, content, None, now) for role, content in checked]

    def edit_message(self, message_id: int, content: str) -> bool:
        """Replace the text of a message; False when it was that text already.

        Raises StoreValidation when there is no such message.
        """
        text(content, "content")
        with self.transaction():
            if self._message(message_id).content == content:
                return False
            self._write("UPDATE messages SET content = ? WHERE message_id = ?", (content, message_id))
            return True

    def delete_message(self, message_id: int) -> bool:
        """Delete one message; False when there is none of that number."""
        integer(message_id, "message_id", 1)
        with self.transaction():
            return self._write("DELETE FROM messages WHERE message_id = ?", (message_id,))[1] > 0

    def delete_session(self, session_id: int) -> int:
        """Delete a session with all its messages in one transaction; returns how many messages that were.

        0 also when there is no such session: a repeated call is harmless.
        """
        integer(session_id, "session_id", 1)
        with self.transaction():
            deleted = self._write("DELETE FROM messages WHERE session_id = ?", (session_id,))[1]
            self._write("DELETE FROM sessions WHERE session_id = ?", (session_id,))
            return deleted

    def compact(self, session_id: int, summary: str, *, keep_last: int) -> int:
        """Put one summary in the place of all but the newest `keep_last` messages; returns how many went.

        The newest of the replaced messages becomes the summary, so that the order stays. A repeated call
        finds nothing to do and returns 0. Raises StoreValidation for an unknown session.
        """
        text(summary, "summary")
        integer(keep_last, "keep_last")
        with self.transaction():
            self._session(session_id)
            rows = self._read(
                "SELECT message_id FROM messages WHERE session_id = ? ORDER BY message_id DESC LIMIT 1 OFFSET ?",
                (session_id, keep_last),
            )
            if not rows:
                return 0
            last = int(rows[0][0])
            gone = self._write("DELETE FROM messages WHERE session_id = ? AND message_id < ?", (session_id, last))[1]
            _, changed = self._write(
                "UPDATE messages SET role = ?1, content = ?2, message_key = NULL"
                " WHERE message_id = ?3 AND (role, content) IS NOT (?1, ?2)",
                (SUMMARY, summary, last),
            )
            return gone + changed

    def get_message(self, message_id: int) -> Message | None:
        """The message, or None."""
        rows = self._read(
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE message_id = ?", (integer(message_id, "message_id", 1),)
        )
        return Message(*rows[0]) if rows else None

    def messages(self, session_id: int, *, after: int = 0, limit: int | None = None) -> list[Message]:
        """Messages of a session in order, with a number above `after`; `limit=None` means all.

        Raises StoreValidation for an unknown session.
        """
        with self._lock:
            self._session(session_id)
            rows = self._read(
                f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE session_id = ? AND message_id > ?"
                " ORDER BY message_id LIMIT ?",
                (
                    session_id,
                    integer(after, "after"),
                    MAX_INTEGER if limit is None else integer(limit, "limit", 1),
                ),
            )
        return [Message(*row) for row in rows]

    def count_messages(self) -> int:
        """Rows in the table."""
        return int(self._read("SELECT count(*) FROM messages")[0][0])

    def _insert_message(self, session_id: int, role: str, content: str, key: str | None, ts: int) -> int:
        """Insert into the open transaction."""
        return self._write(_INSERT, (session_id, role, content, key, ts))[0]

    def _message(self, message_id: int) -> Message:
        message = self.get_message(message_id)
        if message is None:
            raise StoreValidation(f"there is no message {message_id}")
        return message

    def _by_key(self, key: str) -> Message | None:
        rows = self._read(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE message_key = ?", (key,))
        return Message(*rows[0]) if rows else None


def _check_role(role: object) -> str:
    if not isinstance(role, str) or role not in ROLES:
        raise StoreValidation(f"role {shown(role)} is unknown; {did_you_mean(role, ROLES)}")
    return role


def _same(known: Message, session_id: int, role: str, content: str) -> int:
    if (known.session_id, known.role, known.content) != (session_id, role, content):
        raise StoreValidation(f"key {shown(known.message_key)} belongs to another message, {known.message_id}")
    return known.message_id
