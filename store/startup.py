"""What is checked before a database file is used.

A file that fails is refused and left as found: beside a WAL the check connection is opened with
`mode=ro`, because a read-write one would, on its close, move a crashed program's WAL into the main
file and delete it. Nothing here reads the file's bytes itself: closing any descriptor on a database
cancels the POSIX locks of every connection this process has to it
(https://sqlite.org/howtocorrupt.html, section 2.2).
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from store.connection import Connect
from store.errors import StoreError, StoreIdentity
from store.schema import APPLICATION_ID

_PRIMARY: Final = 0xFF  # an extended result code's low byte
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# A read-only connection cannot roll back a hot journal, nor everywhere make a missing -shm.
_NEEDS_WRITING: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


class Inspection(NamedTuple):
    """What a database file says about itself; `problem` is None when it is sound."""

    problem: str | None
    version: int = 0


def file_problem(path: Path) -> str | None:
    """Damage that must be seen before SQLite opens the file, or None.

    A WAL beside an empty or missing main file holds committed rows, but SQLite takes it for a
    left-over and deletes it. One byte beside a journal is a first write that a kill tore: SQLite rolls it
    back, and nothing was ever in the file.
    """
    main, wal = _size(path), _size(_wal(path))
    if main == 1 and not _size(_journal(path)):
        return "the file is one byte long, which SQLite takes for an empty database and overwrites"
    if not main and wal:
        state = "is empty" if main == 0 else "is missing"
        return f"the main file {state} but its -wal holds {wal} bytes; SQLite would delete that -wal"
    return None


def inspect_file(
    path: Path,
    connect: Connect,
    timeout_s: float,
    *,
    application_id: int = APPLICATION_ID,
    check: Callable[[sqlite3.Connection], str | None] | None = None,
) -> Inspection:
    """Run `check` (`quick_check`) on an existing file and read its identity and version, changing nothing.

    Raises StoreIdentity when a sound file belongs to another program, StoreError when it cannot be
    opened at all. Without a WAL there is nothing that a read-write connection could move, and it can
    roll back the journal that a kill before the first switch to WAL leaves, which a read-only one
    cannot; it also takes its own -shm away again.
    """
    modes = ("ro", "rw") if _size(_wal(path)) else ("rw",)
    for mode in modes:
        try:
            with closing(
                connect(file_uri(path, mode), uri=True, timeout=timeout_s, isolation_level=None)
            ) as connection:
                return _inspect(path, connection, application_id, check or quick_check)
        except sqlite3.Error as error:
            if mode == modes[-1] or primary_code(error) not in _NEEDS_WRITING:
                raise cannot_open(path, error) from error
    raise AssertionError("unreachable: the last mode returns or raises")


def _inspect(
    path: Path,
    connection: sqlite3.Connection,
    application_id: int,
    check: Callable[[sqlite3.Connection], str | None],
) -> Inspection:
    try:
        problem = check(connection)
        if problem is not None:
            return Inspection(problem)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        objects = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.Error as error:
        if primary_code(error) in _DAMAGE:
            return Inspection(str(error))
        raise
    if application != application_id and (application or version or objects):
        raise StoreIdentity(
            f"{path} is another program's database (application_id {application}, {objects} schema objects); "
            "choose another db_path"
        )
    return Inspection(None, version)


def quick_check(connection: sqlite3.Connection) -> str | None:
    """The first complaint of `PRAGMA quick_check`, or None; damage it cannot read past is one too."""
    try:
        rows = connection.execute("PRAGMA quick_check(10)").fetchall()
    except sqlite3.Error as error:
        if primary_code(error) in _DAMAGE:
            return str(error)
        raise
    if rows == [("ok",)]:
        return None
    return " ".join(str(rows[0][0]).split()) if rows else "quick_check returned nothing"


def file_uri(path: Path, mode: str) -> str:
    """The URI that opens an existing `path` in `mode` (ro, rw); each character of it is taken literally."""
    posix = path.absolute().as_posix()
    return "file://" + quote(os.fsencode(posix if posix.startswith("/") else "/" + posix)) + f"?mode={mode}"


def primary_code(error: sqlite3.Error) -> int | None:
    """The primary result code of an SQLite error; None for errors of the Python module itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY


def cannot_open(path: Path, error: sqlite3.Error) -> StoreError:
    """The error for a file that SQLite cannot open for reasons other than damage."""
    return StoreError(f"{path} cannot be opened: {error}; check its permissions and who else is using it")


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
