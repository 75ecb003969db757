"""`MessageLog`: an agent's memory in one SQLite file."""

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import ClassVar

from store.checkpoint import PASSIVE, TRUNCATE
from store.connection import Clock, Connect
from store.errors import StoreError
from store.message_log.agreement import Disagreement, fts_disagreements
from store.message_log.checkpoints import DEFAULT_EVERY, WriteCheckpoints
from store.message_log.messages import Messages
from store.message_log.schema import APPLICATION_ID, MIGRATIONS
from store.message_log.search import Search
from store.schema import Migration

_log = logging.getLogger(__name__)


class MessageLog(WriteCheckpoints, Messages, Search):
    """Sessions and messages with a plain and a trigram FTS5 index, for all threads of one process.

    One connection writes, under a lock; searches go through a pool of `readers` read-only connections.
    Every `checkpoint_every` commits a checkpoint in `checkpoint_mode` (PASSIVE or TRUNCATE; 0 for never);
    TRUNCATE at close and before VACUUM. The constructor touches nothing: `initialize_database()` opens and
    migrates. Usable as a context manager, which does both ends. Do not use it across a fork.

    `connect` opens every connection to the database file (a lab passes its own); `clock` gives
    nanoseconds since 1970.
    """

    application_id = APPLICATION_ID
    migrations: ClassVar[Sequence[Migration]] = MIGRATIONS

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        connect: Connect = sqlite3.connect,
        clock: Clock = time.time_ns,
        checkpoint_mode: str = PASSIVE,
        checkpoint_every: int = DEFAULT_EVERY,
        readers: int = 2,
    ) -> None:
        super().__init__(
            db_path,
            connect=connect,
            clock=clock,
            checkpoint_mode=checkpoint_mode,
            checkpoint_every=checkpoint_every,
            readers=readers,
        )

    def vacuum(self) -> None:
        """Rebuild the file without free pages: TRUNCATE, VACUUM, and a PASSIVE checkpoint of the result.

        VACUUM needs up to twice the file's size and writes the whole of it to the WAL
        (https://sqlite.org/lang_vacuum.html). A checkpoint that fails is logged and changes nothing else. Raises
        StoreError inside `transaction()`, and what SQLite raises: nothing has changed then.
        """
        with self._lock:
            connection = self._require()
            if connection.in_transaction:
                raise StoreError("VACUUM is not possible inside a transaction; leave the block first")
            self._try_checkpoint(connection, TRUNCATE, "before VACUUM")
            connection.execute("VACUUM")
            self._try_checkpoint(connection, PASSIVE, "after VACUUM")

    def fts_disagreements(self, *, thorough: bool = True) -> list[Disagreement]:
        """Where an index differs from the table, row by row; empty when all agree.

        Not `thorough`, rows are compared only where FTS5's integrity-check complains.

        Reads everything and holds the lock meanwhile: for checks, not for the hot path.
        """
        with self._lock:
            connection = self._require()
            if connection.in_transaction:
                raise StoreError("the indexes cannot be compared inside a transaction; leave the block first")
            return fts_disagreements(connection, thorough=thorough)

    def _start_check(self, connection: sqlite3.Connection) -> str | None:
        """`quick_check` table by table, without the virtual ones.

        Since SQLite 3.44 it reads the whole of every FTS5 index too: seconds at each start of a large log.
        """
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'"
        ).fetchall()
        for (table,) in [("sqlite_master",), *tables]:
            complaint = connection.execute(f'PRAGMA quick_check("{table}")').fetchone()[0]
            if complaint != "ok":
                return " ".join(str(complaint).split())
        return None

    def _before_close(self, connection: sqlite3.Connection) -> None:
        lent = self._readers.close(self.CLOSE_WAIT_S)
        if lent:
            _log.warning("close() while %d searches are still running; each ends by itself", lent)
        if self._path is not None:
            with self._lock:
                self._final_checkpoint(connection)
