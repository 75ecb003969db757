"""A database of 65 000 pages with a full-text index, like that of an agent that has run for months."""

from pathlib import Path

from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.cache import copy_cached
from crashlab.gallery.stage.stage import SCHEMA, Stage
from crashlab.model.seed import rng_for

__all__ = ["PAGES_MIN", "big_database", "message", "write"]

PAGES_MIN = 65_000
VERSION = 1
"""Raise it with any change to what is built here."""

BUILD_S_MAX = 150.0
BYTES_MAX = 320 << 20
_WORDS = 30_000
_WORDS_A_MESSAGE = 120
_MESSAGES_A_COMMIT = 1000
_FTS = (
    "CREATE TABLE messages(id INTEGER PRIMARY KEY, body TEXT)",
    "CREATE VIRTUAL TABLE messages_fts USING fts5(body, content='messages', content_rowid='id')",
    "CREATE TRIGGER messages_ai AFTER INSERT ON messages BEGIN"
    " INSERT INTO messages_fts(rowid, body) VALUES(new.id, new.body); END",
)


def big_database(stage: Stage, target: Path) -> None:
    """Put a copy of the database at `target`; it is grown once for all runs, in about 15 s."""

    def grow_it(path: Path) -> None:
        actor = stage.actor("the builder")
        actor.call(grow, str(path), seconds=BUILD_S_MAX)
        actor.leave()

    copy_cached("fts-database", VERSION, grow_it, target, bytes_max=BYTES_MAX)


def words() -> list[str]:
    """The vocabulary, always the same."""
    rng = rng_for(VERSION, "words")
    return [rng.randbytes(8).hex() for _ in range(_WORDS)]


def grow(actor: Self, path: str) -> None:
    """Insert messages until there are enough pages; runs in an actor's process."""
    connection = actor.driver.connect(path)
    actor.connections["big"] = connection
    for pragma in ("page_size=4096", "journal_mode=OFF", "synchronous=OFF", "cache_size=-200000"):
        actor.execute(f"PRAGMA {pragma}", on="big")
    for statement in (*SCHEMA, *_FTS):
        actor.execute(statement, on="big")
    rng, vocabulary = rng_for(VERSION, "messages"), words()
    while actor.execute("PRAGMA page_count", on="big")[0][0] < PAGES_MIN:
        actor.execute("BEGIN", on="big")
        for _ in range(_MESSAGES_A_COMMIT):
            body = " ".join(rng.choices(vocabulary, k=_WORDS_A_MESSAGE))
            actor.execute("INSERT INTO messages(body) VALUES(?)", (body,), "big")
        actor.execute("COMMIT", on="big")
    actor.do_close("big")


def message(stage: Stage, key: str) -> str:
    """The text of one more message."""
    rng = stage.rng("message", key)
    return " ".join(rng.randbytes(8).hex() for _ in range(_WORDS_A_MESSAGE // 2))


def write(actor: Self, key: str, value: str, body: str) -> None:
    """One transaction: a row of the ledger and a message with its index; runs in the writer's process."""
    actor.execute("BEGIN IMMEDIATE")
    actor.execute("INSERT INTO t(who, v) VALUES(?, ?)", (key, value))
    actor.execute("INSERT INTO messages(body) VALUES(?)", (body,))
    actor.execute("COMMIT")
