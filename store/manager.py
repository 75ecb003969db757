"""`StateManager`: the engine's state in one SQLite file."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from store.backup import Backups
from store.books.market import Markets
from store.books.shutdown import Shutdowns
from store.books.trades import Trades
from store.checkpoint import Checkpoints, Wait
from store.connection import Clock, Connect
from store.errors import StoreDamaged, StoreIdentity
from store.metrics import Metrics
from store.opening import Opening
from store.schema import APPLICATION_ID, MIGRATIONS, Migration
from store.startup import file_problem

_log = logging.getLogger(__name__)


class StateManager(Opening, Checkpoints, Backups, Shutdowns, Trades, Markets, Metrics):
    """The state of one engine: one connection, usable from all threads of one process.

    The constructor touches nothing: `initialize_database()` opens, checks and migrates. Usable as a
    context manager, which does both ends. Do not use it across a fork.

    `connect` opens every connection to the database file (a lab passes its own); `clock` gives
    nanoseconds since 1970 for the timestamps; `wait(event, seconds) -> bool` is the checkpoint loop's
    wait, true when the loop is to end; `backup_directory` is where backups go and are looked for.
    """

    application_id = APPLICATION_ID
    migrations: ClassVar[Sequence[Migration]] = MIGRATIONS

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        connect: Connect = sqlite3.connect,
        clock: Clock = time.time_ns,
        wait: Wait = threading.Event.wait,
        backup_directory: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(db_path, connect=connect, clock=clock, wait=wait, backup_directory=backup_directory)

    def close(self) -> None:
        """Stop the loop, TRUNCATE the WAL as best effort, close the connection; harmless when repeated.

        A transaction that this thread has open (the caller is a signal handler) is rolled back; one of
        another thread is waited for. Nothing that goes wrong with the checkpoint prevents the close.
        Raises StoreIdentity, once, when the files were replaced since the last write: what was acknowledged
        since then is not in the database.
        """
        super().close()

    def _file_problem(self, path: Path) -> str | None:
        problem = file_problem(path)
        if problem is None and path.exists() and not path.stat().st_size and self.newest_good_backup() is not None:
            # Without a backup it is what a test fixture makes, and what `> neo_state.db` leaves.
            return "the file is empty, but it has been backed up before"
        return problem

    def _on_damaged(self, problem: str) -> None:
        """Refuse the damaged file, naming what to restore."""
        backup = self.newest_good_backup()
        advice = (
            f"the newest good backup is {backup}" if backup else f"there is no good backup in {self.backup_directory}"
        )
        raise StoreDamaged(f"{self._path} is damaged: {problem}; it was left as it is; {advice}")

    def _opened(self, connection: sqlite3.Connection) -> None:
        self._created_at = connection.execute("SELECT created_at FROM store_identity").fetchone()[0]

    def _stop_work(self) -> None:
        self._stop_checkpoint_loop()

    def _before_close(self, connection: sqlite3.Connection) -> None:
        if self._path is None:
            return
        try:
            self._final_checkpoint(connection)
        except StoreIdentity:  # the connection has been given up
            raise
        except Exception:
            _log.exception("wal_checkpoint at close failed; closing without it")
