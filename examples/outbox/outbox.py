"""A small program: messages waiting to be sent, kept in one SQLite file. It knows nothing of crashlab."""

import sqlite3
from collections.abc import Callable
from pathlib import Path


class Outbox:
    """Messages by number. `commit_every` gathers so many changes into one commit, for speed."""

    def __init__(
        self,
        path: str | Path,
        *,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        commit_every: int = 1,
        checkpoint_every: int = 0,
    ) -> None:
        self._db = connect(path)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS message(number INTEGER PRIMARY KEY, body TEXT NOT NULL, sent INTEGER NOT NULL)"
        )
        self._commit_every = commit_every
        self._checkpoint_every = checkpoint_every
        self._changes = 0

    def put(self, number: int, body: str) -> None:
        """Store a message. When this returns, the caller believes that it is stored."""
        self._db.execute("INSERT INTO message VALUES(?, ?, 0)", (number, body))
        self._changed()

    def mark_sent(self, number: int) -> None:
        """Note that a message was sent."""
        if not self._db.execute("UPDATE message SET sent = 1 WHERE number = ?", (number,)).rowcount:
            raise KeyError(number)
        self._changed()

    def _changed(self) -> None:
        self._changes += 1
        if self._changes % self._commit_every == 0:
            try:
                self._db.commit()
            except sqlite3.Error:
                self._db.rollback()
                raise
            if self._checkpoint_every and self._changes % self._checkpoint_every == 0:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Commit what is open, move the log into the main file, close."""
        self._db.commit()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._db.close()
