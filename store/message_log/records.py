"""What the message log keeps."""

from typing import Final, NamedTuple

SUMMARY: Final = "summary"
ROLES: Final = ("user", "assistant", "system", "tool", SUMMARY)
"""Who speaks; `summary` stands for messages that a compaction took away."""


class ChatSession(NamedTuple):
    """A conversation; times in nanoseconds since 1970, `ended_at` None while it is open."""

    session_id: int
    session_key: str | None
    started_at: int
    ended_at: int | None


class Message(NamedTuple):
    """One message; `message_id` gives the order, `created_at` is nanoseconds since 1970."""

    message_id: int
    session_id: int
    role: str
    content: str
    message_key: str | None
    created_at: int


class Hit(NamedTuple):
    """A message that a search found, and its bm25 score: the smaller, the better."""

    message: Message
    score: float


SESSION_COLUMNS: Final = "session_id, session_key, started_at, ended_at"
MESSAGE_COLUMNS: Final = "message_id, session_id, role, content, message_key, created_at"
