"""What is said: texts that carry a checksum, which is also the word by which a search must find them."""

import random
import zlib
from typing import Final

from crashlab.model.step import Row, Table

MESSAGES: Final = "messages"
SESSIONS: Final = "sessions"
TOKEN: Final = 8  # characters of the checksum

_WORDS: Final = tuple(
    f"{head}{tail}"
    for head in ("mar", "tel", "son", "är", "ку", "dro", "vi")
    for tail in ("ket", "a", "ling", "ß", "ot")
)


def make_text(name: str, rng: random.Random, words_max: int) -> str:
    """A text of up to `words_max` words behind `name`, and the checksum of both."""
    said = " ".join((name, *rng.choices(_WORDS, k=rng.randint(1, words_max))))
    return f"{said} {zlib.crc32(said.encode()):0{TOKEN}x}"


def token(content: str) -> str:
    """The checksum at the end of a text; no other text of the run has it."""
    return content[-TOKEN:]


def _is_right(_key: Row, value: Row) -> bool:
    said, _, checksum = value[2].rpartition(" ")
    return bool(checksum == f"{zlib.crc32(said.encode()):0{TOKEN}x}")


TABLES: Final = (
    Table(MESSAGES, ("message_id",), ("session_id", "role", "content", "message_key", "created_at"), _is_right),
    Table(SESSIONS, ("session_id",), ("session_key", "started_at", "ended_at")),
)
