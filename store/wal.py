"""Switching a database file to WAL mode: best effort, trusting only what SQLite says is in force."""

import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from store.connection import Connect, check_is_file_or_absent
from store.startup import cannot_open, primary_code

_log = logging.getLogger(__name__)


def enable_wal(db_path: str | os.PathLike[str], *, connect: Connect = sqlite3.connect, timeout_s: float = 5.0) -> str:
    """Switch the file to WAL and return the journal mode that is then in force, in lower case.

    The mode is a property of the file: every process that opens it later gets it. Where WAL is not to
    be had (a file system without shared memory, a read-only file, another program that keeps the file
    locked for `timeout_s` seconds) the old mode stays, with a WARNING. Raises StoreValidation for a
    path that cannot be a file, StoreError for one that cannot be opened or is no database.
    """
    path = Path(os.path.realpath(db_path))
    check_is_file_or_absent(path)
    try:
        with closing(connect(str(path), timeout=timeout_s, isolation_level=None)) as connection:
            return switch_to_wal(connection, path, timeout_s)
    except sqlite3.Error as error:
        raise cannot_open(path, error) from error


def switch_to_wal(connection: sqlite3.Connection, where: object, timeout_s: float) -> str:
    """`enable_wal` over an open connection; raises `sqlite3.Error` only when not even the mode can be read.

    The row that `PRAGMA journal_mode` returns is the mode in force: a refusal raises nothing
    (https://sqlite.org/pragma.html#pragma_journal_mode). Two processes that switch a new file at the
    same moment get SQLITE_BUSY without any waiting, hence the loop.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            mode = str(connection.execute("PRAGMA journal_mode = WAL").fetchall()[0][0])
            break
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_BUSY and time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            mode = str(connection.execute("PRAGMA journal_mode").fetchall()[0][0])
            _log.warning("%s: could not be switched to WAL (%s)", where, error)
            break
    if mode not in ("wal", "memory"):
        _log.warning("%s: WAL mode is not available here, journal_mode is %s", where, mode)
    return mode
