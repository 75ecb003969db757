"""`StateManager`: the engine's state in one SQLite file."""

import logging
import os
import sqlite3
import threading
import time
from types import TracebackType
from typing import ClassVar, Self

from store.backup import Backups
from store.books.market import Markets
from store.books.shutdown import Shutdowns
from store.books.trades import Trades
from store.checkpoint import Checkpoints, Wait
from store.connection import MEMORY, Clock, Connect, check_is_file_or_absent
from store.errors import StoreDamaged, StoreError, StoreIdentity
from store.metrics import Metrics
from store.retire import is_kept
from store.schema import MIGRATIONS, Migration, check_not_too_new, migrate
from store.startup import cannot_open, file_problem, inspect_file, primary_code
from store.validation import integer

_log = logging.getLogger(__name__)


class StateManager(Checkpoints, Backups, Shutdowns, Trades, Markets, Metrics):
    """The state of one engine: one connection, usable from all threads of one process.

    The constructor touches nothing: `initialize_database()` opens, checks and migrates. Usable as a
    context manager, which does both ends. Do not use it across a fork.

    `connect` opens every connection to the database file (a lab passes its own); `clock` gives
    nanoseconds since 1970 for the timestamps; `wait(event, seconds) -> bool` is the checkpoint loop's
    wait, true when the loop is to end; `backup_directory` is where backups go and are looked for.
    """

    migrations: ClassVar[tuple[Migration, ...]] = MIGRATIONS

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

    def initialize_database(self) -> None:
        """Check the file, open it in WAL mode and bring its schema up to date; harmless when repeated.

        Raises StoreDamaged (with the newest good backup) for a file that fails `quick_check` or is no
        database, StoreIdentity for another program's database, StoreSchemaTooNew, StoreValidation for
        a path that cannot be a file, StoreError when SQLite cannot open it, StoreClosed after
        `close()`. Whatever is refused is left as it was found.
        """
        with self._lock:
            if self._closed or self._retired is not None:
                raise self._not_open()
            if self._connection is not None:
                return
            problem = self._startup_problem()
            if problem is not None:
                self._on_damaged(problem)
            self._connection = self._open_store()

    def close(self) -> None:
        """Stop the loop, TRUNCATE the WAL as best effort, close the connection; harmless when repeated.

        A transaction that this thread has open (the caller is a signal handler) is rolled back; one of
        another thread is waited for. Nothing that goes wrong with the checkpoint prevents the close.
        Raises StoreIdentity, once, when the files were replaced since the last write: what was acknowledged
        since then is not in the database.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._stop.set()
            connection = self._connection
            if connection is not None and connection.in_transaction:
                _log.warning("close() inside an open transaction: it is rolled back")
                self._roll_back(connection)
            self._leave_connection()
        try:
            self._stop_checkpoint_loop()
        finally:
            if connection is not None:
                self._finish(connection)
        if self._retired is not None and not self._retirement_told:
            raise StoreIdentity(self._retired)

    def __enter__(self) -> Self:
        self.initialize_database()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _startup_problem(self) -> str | None:
        """What is wrong with the existing file, or None; changes nothing."""
        path = self._path
        if path is None:
            return None
        check_is_file_or_absent(path)
        if is_kept(path):
            raise StoreIdentity(
                f"process {os.getpid()} still holds a connection to {path} from before its files were replaced, "
                "and a second one would mix the two; start a new process"
            )
        problem = file_problem(path)
        if problem is not None:
            return problem
        if not path.exists():
            return None
        if path.stat().st_size == 0:
            # An empty file is what a test fixture makes, and what `> neo_state.db` leaves.
            if self.newest_good_backup() is not None:
                return "the file is empty, but it has been backed up before"
            return None
        found = inspect_file(path, self._connect, self.BUSY_TIMEOUT_S)
        if found.problem is None:
            check_not_too_new(found.version, path, self.migrations)
        return found.problem

    def _on_damaged(self, problem: str) -> None:
        """Refuse the damaged file, naming what to restore."""
        backup = self.newest_good_backup()
        advice = (
            f"the newest good backup is {backup}" if backup else f"there is no good backup in {self.backup_directory}"
        )
        raise StoreDamaged(f"{self._path} is damaged: {problem}; it was left as it is; {advice}")

    def _open_store(self) -> sqlite3.Connection:
        """Open the connection in WAL mode and migrate."""
        target = MEMORY if self._path is None else str(self._path)
        try:
            connection = self._connect(
                target, timeout=self.BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._cannot_open(error) from error
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            mode = None if self._path is None else self._enable_wal(connection)
            self._migrate(connection, target)
            self._created_at = connection.execute("SELECT created_at FROM store_identity").fetchone()[0]
            if self._path is not None:
                self._watch_files(connection, self._path, wal=mode == "wal")
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._cannot_open(error) from error
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection, target: str) -> None:
        migrate(connection, target, integer(self._clock(), "the clock's time"), self.migrations)

    def _enable_wal(self, connection: sqlite3.Connection) -> str:
        # The row is the mode in force; a file system without shared memory keeps the old one. Two
        # processes that switch a new file at the same moment get SQLITE_BUSY without any waiting.
        deadline = time.monotonic() + self.BUSY_TIMEOUT_S
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchall()[0][0]
                break
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            _log.warning("%s: WAL mode is not available here, journal_mode is %s", self._path, mode)
        return str(mode)

    def _cannot_open(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"{MEMORY}: {error}") if self._path is None else cannot_open(self._path, error)

    def _finish(self, connection: sqlite3.Connection) -> None:
        """The final checkpoint, then the close, whatever became of the first."""
        try:
            if self._path is not None:
                self._final_checkpoint(connection)
        except StoreIdentity:  # the connection has been given up
            raise
        except Exception:
            _log.exception("wal_checkpoint at close failed; closing without it")
        finally:
            with self._lock:
                if self._retired is None:
                    self._check_identity(connection)  # a last close checkpoints, too
                    connection.close()
