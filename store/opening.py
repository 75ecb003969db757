"""Opening and closing a store that has an identity and migrations of its own."""

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from store.connection import MEMORY, Database, check_is_file_or_absent
from store.errors import StoreDamaged, StoreError, StoreIdentity
from store.retire import is_kept
from store.schema import Migration, check_not_too_new, migrate
from store.startup import cannot_open, file_problem, inspect_file, quick_check
from store.wal import switch_to_wal

_log = logging.getLogger(__name__)

_SECOND_LOOK_S: Final = 0.05


class Opening(Database):
    """A database that is checked before it is opened, migrated when it is, and closed once.

    Usable as a context manager. Do not use it across a fork.
    """

    application_id: ClassVar[int]
    migrations: ClassVar[Sequence[Migration]]

    def initialize_database(self) -> None:
        """Check the file, open it in WAL mode and bring its schema up to date; harmless when repeated.

        Several processes may do this on one file at once. Raises StoreDamaged for a file that fails
        the check or is no database, StoreIdentity for another program's database,
        StoreSchemaTooNew, StoreValidation for a path that cannot be a file, StoreError when SQLite
        cannot open it, StoreClosed after `close()`. Whatever is refused is left as it was found.
        """
        with self._lock:
            if self._closed or self._retired is not None:
                raise self._not_open()
            if self._connection is not None:
                return
            if self._path is not None:
                self._check_file(self._path)
            connection = self._open_connection()
            self._connection = connection
            try:
                self._started()
            except BaseException:
                self._leave_connection()
                connection.close()
                raise

    def close(self) -> None:
        """Close the connection; harmless when repeated.

        A transaction that this thread has open (the caller is a signal handler) is rolled back; one of
        another thread is waited for. Raises StoreIdentity, once, when the files were replaced since the last
        write: what was acknowledged since then is not in the database.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            connection = self._connection
            if connection is not None and connection.in_transaction:
                _log.warning("close() inside an open transaction: it is rolled back")
                self._roll_back(connection)
            self._leave_connection()
        try:
            self._stop_work()
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

    def _check_file(self, path: Path) -> None:
        check_is_file_or_absent(path)
        if is_kept(path):
            raise StoreIdentity(
                f"process {os.getpid()} still holds a connection to {path} from before its files were replaced, "
                "and a second one would mix the two; start a new process"
            )
        problem = self._file_problem(path)
        if problem is not None:
            # A sibling that is making the file right now goes through such a state in an instant.
            time.sleep(_SECOND_LOOK_S)
            problem = self._file_problem(path)
        if problem is None and path.exists() and path.stat().st_size:
            found = inspect_file(
                path, self._connect, self.BUSY_TIMEOUT_S, application_id=self.application_id, check=self._start_check
            )
            if found.problem is None:
                check_not_too_new(found.version, path, self.migrations)
            problem = found.problem
        if problem is not None:
            self._on_damaged(problem)

    def _file_problem(self, path: Path) -> str | None:
        """What is wrong with the file before any byte of it is looked at, or None."""
        return file_problem(path)

    def _on_damaged(self, problem: str) -> None:
        """Refuse the damaged file."""
        raise StoreDamaged(f"{self._path} is damaged: {problem}; it was left as it is")

    def _start_check(self, connection: sqlite3.Connection) -> str | None:
        """The first complaint about a database that is about to be opened, or None."""
        return quick_check(connection)

    def _open_connection(self) -> sqlite3.Connection:
        target = MEMORY if self._path is None else str(self._path)
        try:
            connection = self._connect(
                target, timeout=self.BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._cannot_open(error) from error
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            mode = None if self._path is None else switch_to_wal(connection, target, self.BUSY_TIMEOUT_S)
            self._migrate(connection)
            self._opened(connection)
            if self._path is not None:
                self._watch_files(connection, self._path, wal=mode == "wal")
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._cannot_open(error) from error
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the schema up to date, each migration in one transaction with its version bump."""
        migrate(connection, self._path or MEMORY, self._now(), self.migrations)

    def _opened(self, connection: sqlite3.Connection) -> None:
        """What a store reads from its database once the schema is up to date."""

    def _started(self) -> None:
        """What a store does once it is open, under the lock."""

    def _stop_work(self) -> None:
        """End what runs beside the callers; also for a store that was never opened, or has given its files up."""

    def _finish(self, connection: sqlite3.Connection) -> None:
        """`_before_close`, then the close, whatever became of the first."""
        try:
            self._before_close(connection)
        finally:
            with self._lock:
                if self._retired is None:
                    self._check_identity(connection)  # a last close checkpoints
                    connection.close()

    def _before_close(self, connection: sqlite3.Connection) -> None:
        """What a store does with its connection before it closes it.

        Must not raise for an expected failure; StoreIdentity says that the connection has been given up.
        """

    def _cannot_open(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"{MEMORY}: {error}") if self._path is None else cannot_open(self._path, error)
