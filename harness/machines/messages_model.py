"""The model of `MessageLog`: sessions and messages in dictionaries, searches over them by hand."""

from collections.abc import Sequence
from typing import Any

from harness.machines.model import Model, Refused

Row = tuple[int, int, str, str, str | None, int]
"""A message: number, session, role, content, key, time."""

WORDS = ("apple", "banana", "cherry")
"""What is searched for, by words."""

PARTS = ("ana", "err", "ple b")
"""What is searched for, as substrings."""


class MessagesModel(Model):
    """What the public reads of the message log show; the text is lower-case words with a blank between them."""

    def __init__(self) -> None:
        super().__init__()
        self.last_session = 0
        self.last_message = 0
        self.chats: dict[int, tuple[int, str | None, int, int | None]] = {}
        self.rows: dict[int, Row] = {}

    def view(self) -> dict[str, Any]:
        """See `Model.view`."""
        newest = sorted(self.rows.values(), reverse=True)
        return {
            "sessions": list(self.chats.values()),
            "messages": {number: self._of(number) for number in self.chats},
            "count_messages": len(self.rows),
            "words": {word: [row[0] for row in newest if word in row[3].split()] for word in WORDS},
            "parts": {part: [row[0] for row in newest if part in row[3]] for part in PARTS},
        }

    def create_session(self, key: str | None = None) -> int:
        """A session, once for each key."""
        known = [number for number, row in self.chats.items() if key is not None and row[1] == key]
        if known:
            return known[0]
        self.last_session += 1
        self.chats[self.last_session] = (self.last_session, key, self.now, None)
        return self.last_session

    def close_session(self, session_id: int) -> bool:
        """Once."""
        number, key, started_at, ended_at = self._chat(session_id)
        if ended_at is not None:
            return False
        self.chats[session_id] = (number, key, started_at, max(self.now, started_at))
        return True

    def append(self, session_id: int, role: str, content: str, key: str | None = None) -> int:
        """A message, once for each key."""
        known = [row for row in self.rows.values() if key is not None and row[4] == key]
        if known:
            if known[0][1:4] != (session_id, role, content):
                raise Refused("another message")
            return known[0][0]
        self._open_chat(session_id)
        return self._add(session_id, role, content, key)

    def append_many(self, session_id: int, messages: Sequence[Sequence[str]]) -> list[int]:
        """All or none."""
        self._open_chat(session_id)
        return [self._add(session_id, role, content, None) for role, content in messages]

    def edit_message(self, message_id: int, content: str) -> bool:
        """Other text."""
        if message_id not in self.rows:
            raise Refused("no message")
        row = self.rows[message_id]
        self.rows[message_id] = (*row[:3], content, *row[4:])
        return row[3] != content

    def delete_message(self, message_id: int) -> bool:
        """Whether there was one."""
        return self.rows.pop(message_id, None) is not None

    def delete_session(self, session_id: int) -> int:
        """With its messages."""
        gone = [row[0] for row in self.rows.values() if row[1] == session_id]
        for number in gone:
            del self.rows[number]
        self.chats.pop(session_id, None)
        return len(gone)

    def compact(self, session_id: int, summary: str, keep_last: int) -> int:
        """The newest of those that go becomes the summary."""
        self._chat(session_id)
        mine = self._of(session_id)
        going = mine[: len(mine) - keep_last]
        if not going:
            return 0
        last = going[-1]
        for row in going[:-1]:
            del self.rows[row[0]]
        changed = last[2:4] != ("summary", summary)
        if changed:
            self.rows[last[0]] = (last[0], session_id, "summary", summary, None, last[5])
        return len(going) - 1 + changed

    def vacuum(self) -> None:
        """Nothing to see."""

    def checkpoint(self, mode: str) -> bool:
        """Nothing to see."""
        if mode not in ("PASSIVE", "TRUNCATE"):
            raise Refused("no mode")
        return True

    def _chat(self, number: int) -> tuple[int, str | None, int, int | None]:
        if number not in self.chats:
            raise Refused("no session")
        return self.chats[number]

    def _open_chat(self, number: int) -> None:
        if self._chat(number)[3] is not None:
            raise Refused("closed")

    def _of(self, number: int) -> list[Row]:
        return sorted(row for row in self.rows.values() if row[1] == number)

    def _add(self, session_id: int, role: str, content: str, key: str | None) -> int:
        self.last_message += 1
        self.rows[self.last_message] = (self.last_message, session_id, role, content, key, self.now)
        return self.last_message
