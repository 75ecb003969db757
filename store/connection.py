"""One connection for all threads: its lock, its transactions, its reads."""

import logging
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from store.errors import StoreClosed, StoreError, StoreIdentity, StoreValidation
from store.identity import OpenFiles
from store.retire import abandon, retire
from store.validation import integer, text

_log = logging.getLogger(__name__)

MEMORY: Final = ":memory:"

Result = TypeVar("Result")
Connect = Callable[..., sqlite3.Connection]
Clock = Callable[[], int]


class Database:
    """The connection in autocommit mode, and the re-entrant lock that makes it usable by threads.

    Serialised threading in the driver is not enough: a checkpoint on a connection with an open
    transaction raises "database table is locked", and one thread's COMMIT commits another thread's
    half transaction. So transactions are explicit, and the lock is held from BEGIN to COMMIT, over
    whole reads, and around each checkpoint.
    """

    BUSY_TIMEOUT_S: ClassVar[float] = 5.0

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        connect: Connect = sqlite3.connect,
        clock: Clock = time.time_ns,
    ) -> None:
        self._path = _database_path(db_path)
        if not callable(connect):
            raise StoreValidation(f"connect must be callable like sqlite3.connect, not {type(connect).__name__}")
        if not callable(clock):
            raise StoreValidation(f"clock must be callable and return nanoseconds, not {type(clock).__name__}")
        self._connect = connect
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._in_block = False  # inside `transaction()`; read and written under the lock
        self._files: OpenFiles | None = None  # what the names must go on meaning; None: not watched
        self._abandoned: weakref.finalize[..., Any] | None = None
        self._retired: str | None = None  # why the connection was given up
        self._retirement_told = False  # an error has told the caller

    @property
    def path(self) -> Path | None:
        """The database file with symbolic links resolved; None for `:memory:`."""
        return self._path

    @property
    def is_open(self) -> bool:
        """Whether reads and writes are possible now."""
        return self._connection is not None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all writes inside one transaction: all of them, or (after any exception) none.

        Holds the lock throughout, so keep it short. A nested call joins the outer transaction.
        """
        with self._lock:
            connection = self._connection
            if connection is None:
                raise self._not_open()
            if self._in_block:
                yield
                return
            if connection.in_transaction:
                self._refuse_reentry(connection)
            files = self._files
            if files is not None and files.due():
                self._check_identity(connection)
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._in_block = True
                yield
                if self._connection is None:
                    raise self._not_open()
                if not connection.in_transaction:
                    self._require_block(connection)
                if files is not None and files.due():
                    self._check_identity(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise
            finally:
                self._in_block = False

    def _write(self, sql: str, parameters: Sequence[object]) -> tuple[int, int]:
        """Run one statement in a transaction of its own, or in the open `transaction()`.

        Returns the row id it inserted and the number of rows it changed.
        """
        with self._lock:
            connection = self._connection
            if connection is None:
                raise self._not_open()
            if self._in_block:
                if not connection.in_transaction:
                    self._require_block(connection)
                cursor = connection.execute(sql, parameters)
                return cursor.lastrowid or 0, cursor.rowcount
            if connection.in_transaction:
                self._refuse_reentry(connection)
            files = self._files
            if files is not None and files.due():
                self._check_identity(connection)
            # One cursor for the three statements: making another costs as much as a statement.
            cursor = connection.cursor()
            try:
                cursor.execute("BEGIN IMMEDIATE")
                cursor.execute(sql, parameters)
                outcome = cursor.lastrowid or 0, cursor.rowcount
                cursor.execute("COMMIT")
            except BaseException as error:
                self._finish_cursor(cursor)
                self._roll_back(connection)
                # A signal handler may have run close() between two of the statements above.
                if self._connection is None and isinstance(error, sqlite3.Error):
                    raise self._not_open() from error
                raise
            return outcome

    def _atomically(self, work: Callable[[sqlite3.Cursor], Result]) -> Result:
        """Run `work(cursor)` as a `transaction()` of its own, in half the time; inside an open one as part of it.

        `work` runs statements on the cursor and nothing that takes long.
        """
        with self._lock:
            connection = self._connection
            if connection is None:
                raise self._not_open()
            if self._in_block:
                return self._within(connection, work)
            if connection.in_transaction:
                self._refuse_reentry(connection)
            files = self._files
            if files is not None and files.due():
                self._check_identity(connection)
            cursor = connection.cursor()
            try:
                cursor.execute("BEGIN IMMEDIATE")
                self._in_block = True
                result = work(cursor)
                if self._connection is None:
                    raise self._not_open()
                if not connection.in_transaction:
                    self._require_block(connection)
                cursor.execute("COMMIT")
            except BaseException as error:
                self._finish_cursor(cursor)
                self._roll_back(connection)
                if self._connection is None and isinstance(error, sqlite3.Error):
                    raise self._not_open() from error
                raise
            finally:
                self._in_block = False
            return result

    def _within(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Cursor], Result]) -> Result:
        """Run `work` inside an open block; what it did before an error stays, for the block to decide on."""
        self._require_block(connection)
        cursor = connection.cursor()
        try:
            return work(cursor)
        except BaseException:
            self._finish_cursor(cursor)
            raise

    def _read(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Run one query and fetch every row before the lock is released.

        An unfinished cursor would pin a snapshot and make the next checkpoint fail.
        """
        with self._lock:
            cursor = self._require().cursor()
            try:
                return cursor.execute(sql, parameters).fetchall()
            except BaseException:
                self._finish_cursor(cursor)
                raise

    def _finish_cursor(self, cursor: sqlite3.Cursor) -> None:
        # An error's traceback keeps its frames' cursors for as long as the program keeps the error. Their statements
        # would pin a snapshot, and keep SQLite's connection open (sqlite3_close_v2) after close().
        if self._connection is not None:
            cursor.close()

    def _now(self) -> int:
        """The clock's time; raises StoreValidation when it is no count of nanoseconds."""
        return integer(self._clock(), "the clock's time")

    def _require(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            raise self._not_open()
        return connection

    def _not_open(self) -> StoreClosed | StoreIdentity:
        where = self._path or MEMORY
        if self._retired is not None and not self._closed:
            self._retirement_told = True
            return StoreIdentity(self._retired)
        if self._closed:
            return StoreClosed(f"the store {where} is closed; make a new {type(self).__name__} to use it again")
        return StoreClosed(f"the store {where} is not open; call initialize_database() first")

    def _watch_files(self, connection: sqlite3.Connection, path: Path, *, wal: bool) -> None:
        """From now on check that the files under the database's names are those that were just opened."""
        self._files = OpenFiles(path, wal=wal)
        # Also for a store that nobody closes: its last reference, or the interpreter's end, would.
        self._abandoned = weakref.finalize(self, abandon, connection, self._files, self._lock)

    def _leave_connection(self) -> None:
        self._connection = None
        if self._abandoned is not None:
            self._abandoned.detach()

    def _check_identity(self, connection: sqlite3.Connection) -> None:
        """Raise StoreIdentity, and give the connection up, when a name no longer means the file it opened.

        The caller holds the lock.
        """
        change = None if self._files is None else self._files.change()
        if change is not None:
            self._retire(connection, change)

    def _retire(self, connection: sqlite3.Connection, change: str) -> NoReturn:
        assert self._files is not None
        self._roll_back(connection)
        self._leave_connection()
        self._retired = retire(connection, self._files, change)
        self._retirement_told = True
        raise StoreIdentity(self._retired)

    def _require_block(self, connection: sqlite3.Connection) -> None:
        # SQLite rolls a whole transaction back on its own after some errors (disk full, I/O error).
        # If the caller swallowed that error, going on would commit the rest of the block alone.
        if not connection.in_transaction:
            raise StoreError("SQLite has rolled this transaction back after an earlier error; leave the block")

    def _refuse_reentry(self, connection: sqlite3.Connection) -> None:
        # Only a signal handler can get here: the lock is re-entrant, so it may interrupt this
        # thread's own write between BEGIN and COMMIT, and must not commit or roll back that write.
        if connection.in_transaction:
            raise StoreError("this thread is in the middle of another write; a signal handler cannot write here")

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if self._connection is None:  # close() came in between, and has rolled back
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:  # the error that brought us here is the one to raise
            _log.error("rollback failed; closing the store will roll back", exc_info=True)


def _database_path(db_path: object) -> Path | None:
    if isinstance(db_path, os.PathLike):
        db_path = os.fspath(db_path)
    if not isinstance(db_path, str):
        raise StoreValidation(f"db_path must be a path, not {type(db_path).__name__}: {db_path!r}")
    if db_path == MEMORY:
        return None
    if not db_path or db_path.isspace():
        raise StoreValidation("db_path must not be empty: SQLite would use a temporary database and drop it")
    if "\0" in db_path:
        text(db_path, "db_path")
    # SQLite resolves symbolic links itself and puts -wal and -shm beside the real file.
    return Path(os.path.realpath(db_path))


def check_is_file_or_absent(path: Path) -> None:
    """Refuse what can never be a database file, before SQLite would open (or wait on) it.

    Raises StoreValidation for a directory, a device, a pipe, or a missing parent directory.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise StoreValidation(f"{path}: the directory {path.parent} does not exist; create it first") from None
        return
    except OSError as error:
        raise StoreValidation(f"{path} cannot be examined: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise StoreValidation(f"{path} is a directory; db_path must name a file")
    if not stat.S_ISREG(mode):
        raise StoreValidation(f"{path} is not a regular file; db_path must name one")
