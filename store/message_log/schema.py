"""The schema of the message log: sessions, messages, and two FTS5 indexes over the same text.

Both indexes are external-content tables (https://sqlite.org/fts5.html#external_content_tables): the text is
stored once, and three triggers tell the index of every insert, delete and update. They run in the
transaction of the statement, so text and index commit together.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from store.schema import Migration

# "MLG1"
APPLICATION_ID: Final = 0x4D4C4731


class Index(NamedTuple):
    """An FTS5 index over `messages.content`."""

    table: str
    tokenize: str


PLAIN: Final = Index("messages_fts", "unicode61 remove_diacritics 2")
TRIGRAM: Final = Index("messages_trigram", "trigram")  # substrings, in any script; needs SQLite 3.34
INDEXES: Final = (PLAIN, TRIGRAM)


def triggers(table: str) -> Mapping[str, str]:
    """The three triggers that keep an index: event → statement.

    A delete must hand the index the old text exactly as it was indexed, or entries stay behind.
    """
    insert = f"INSERT INTO {table} (rowid, content) VALUES (new.message_id, new.content);"
    delete = f"INSERT INTO {table} ({table}, rowid, content) VALUES ('delete', old.message_id, old.content);"
    bodies = {"insert": insert, "delete": delete, "update": f"{delete} {insert}"}
    events = {"insert": "INSERT", "delete": "DELETE", "update": "UPDATE OF content"}
    return {
        event: f"CREATE TRIGGER {table}_{event} AFTER {events[event]} ON messages BEGIN {body} END"
        for event, body in bodies.items()
    }


def _create(index: Index) -> str:
    return (
        f"CREATE VIRTUAL TABLE {index.table} USING fts5 "
        f"(content, content = 'messages', content_rowid = 'message_id', tokenize = '{index.tokenize}')"
    )


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        1,
        "sessions, messages, plain index",
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            """CREATE TABLE sessions (
                session_id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_key TEXT UNIQUE,
                started_at INTEGER NOT NULL,
                ended_at INTEGER)""",
            # INTEGER PRIMARY KEY: VACUUM may renumber any other rowid, and the indexes refer to it.
            # AUTOINCREMENT: the number of a deleted message is never given to another.
            """CREATE TABLE messages (
                message_id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id INTEGER NOT NULL REFERENCES sessions (session_id),
                role TEXT NOT NULL,
                content TEXT NOT NULL,
                message_key TEXT UNIQUE,
                created_at INTEGER NOT NULL)""",
            "CREATE INDEX messages_session ON messages (session_id, message_id)",
            _create(PLAIN),
            *triggers(PLAIN.table).values(),
        ),
    ),
    Migration(
        2,
        "trigram index over the messages that are there",
        (
            _create(TRIGRAM),
            *triggers(TRIGRAM.table).values(),
            f"INSERT INTO {TRIGRAM.table} ({TRIGRAM.table}) VALUES ('rebuild')",
        ),
    ),
)
