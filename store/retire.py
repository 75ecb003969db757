"""Giving up a connection whose files somebody replaced, without harm to either side.

Closing it is the danger: a last close checkpoints our WAL over the newer database and deletes
the newer `-wal`, by name. And its WAL may have no name any more: its bytes then live until our descriptor
closes. So the bytes are saved first, and the connection is closed without a checkpoint or not at all.
"""

import contextlib
import ctypes
import logging
import os
import sqlite3
import threading
from itertools import count
from pathlib import Path
from typing import Final

from store.identity import FileId, OpenFiles

_log = logging.getLogger(__name__)

SAVED_BYTES_MAX: Final = 1 << 30  # of each file
_CHUNK: Final = 1 << 20
_LOCK_WAIT_S: Final = 1.0

# Main files to which this process holds a connection that it must not close. A second connection to
# one of them would share the old wal-index (SQLite keeps one for each inode in a process) and read the new
# -wal through it: SQLITE_IOERR_SHORT_READ, SQLITE_NOTADB, or the wrong page.
_kept: Final[dict[FileId, sqlite3.Connection]] = {}


def retire(connection: sqlite3.Connection, files: OpenFiles, change: str) -> str:
    """Save what the connection's descriptors hold, and give it up; logs and returns the whole story."""
    story = (
        f"the files of {files.main} were replaced while the store was open: {change}. The store has stopped and "
        f"checkpoints no more; {_give_up(connection, files)}. Stop every program that uses the database, keep a copy "
        "of all its files, compare what they hold, then start this program anew"
    )
    _log.error("%s", story, extra={"change": change})
    return story


def abandon(connection: sqlite3.Connection, files: OpenFiles, lock: threading.RLock) -> None:
    """Look at the files of a store that is about to be freed without `close()`, and retire it if they changed."""
    # At the interpreter's end another thread may be in the middle of a write, for ever.
    held = lock.acquire(timeout=_LOCK_WAIT_S)
    try:
        change = files.change()
        if change is not None:
            retire(connection, files, change)
    finally:
        if held:
            lock.release()


def is_kept(path: Path) -> bool:
    """Whether this process holds a connection to the file that it gave up but could not close."""
    if not _kept:
        return False
    try:
        found = path.stat()
    except OSError:
        return False
    return FileId(found.st_dev, found.st_ino) in _kept


def _give_up(connection: sqlite3.Connection, files: OpenFiles) -> str:
    for pragma in ("query_only = 1", "wal_autocheckpoint = 0"):
        with contextlib.suppress(sqlite3.Error):
            connection.execute(f"PRAGMA {pragma}")
    saved, unsaved = _save(files)
    told = "; ".join(("saved: " + ", ".join(map(str, saved)) if saved else "nothing was saved", *unsaved))
    if not unsaved and _close_without_checkpoint(connection):
        return f"its connection was closed without a checkpoint; {told}"
    _keep(connection, files.identity())
    return (
        f"process {os.getpid()} keeps its connection open until it ends, because closing it would checkpoint or lose "
        f"what has no name any more; {told}"
    )


def _save(files: OpenFiles) -> tuple[list[Path], list[str]]:
    """Copy the WAL and the main file out of SQLite's descriptors; the copies, and what else must be saved and how.

    The main file as it is now, beside that WAL under a matching name, is what this store would have read,
    unless the newer generation has been checkpointed into it. Where the WAL is empty and the main file has
    its name still, there is nothing to save.
    """
    saved: list[Path] = []
    unsaved: list[str] = []
    base = _free_name(files.main)
    for suffix in ("-wal", ""):
        identity = files.identity(suffix)
        in_place = suffix == "" and files.in_place()
        if identity is None or (in_place and not (saved or unsaved)):
            continue
        descriptor = _descriptor(identity)
        try:
            if descriptor is None:
                raise OSError("no descriptor of this process was found that has it open")
            if _copy(descriptor, identity, base.with_name(base.name + suffix)):
                saved.append(base.with_name(base.name + suffix))
        except OSError as error:
            at = "" if descriptor is None else f": copy /proc/{os.getpid()}/fd/{descriptor} before the process ends"
            unsaved.append(f"the old {files.main}{suffix} could not be saved ({error}){at}")
    return saved, unsaved


def _copy(descriptor: int, identity: FileId, target: Path) -> bool:
    """Copy an open file; false when it is empty.

    `pread` on SQLite's own descriptor: nothing is opened and nothing closed, so no lock is lost.
    """
    found = os.fstat(descriptor)
    if found.st_size == 0:
        return False
    if found.st_size > SAVED_BYTES_MAX:
        raise OSError(f"it has {found.st_size} bytes, more than the {SAVED_BYTES_MAX} that are saved")
    # Nobody may read the copy who could not read the original.
    copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, found.st_mode & 0o777)
    try:
        at = 0
        while at < found.st_size:
            piece = os.pread(descriptor, min(_CHUNK, found.st_size - at), at)
            if not piece:
                break
            at += os.write(copy, piece)
        os.fsync(copy)
        # Another connection of this process may have closed the descriptor, and its number be another file's.
        if _identity_of(descriptor) != identity:
            raise OSError("its descriptor was closed meanwhile")
    except BaseException:
        target.unlink()
        raise
    finally:
        os.close(copy)
    return True


def _descriptor(identity: FileId) -> int | None:
    """A descriptor of this process on the file; None where there is none, or no list of them."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return None
    return next((number for number in numbers if _identity_of(number) == identity), None)


def _identity_of(descriptor: int) -> FileId | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


def _free_name(path: Path) -> Path:
    for number in count():
        base = path.with_name(f"{path.name}.retired-{os.getpid()}-{number}")
        if not (os.path.lexists(base) or os.path.lexists(f"{base}-wal")):
            return base
    raise AssertionError("unreachable: the numbers do not end")


def _close_without_checkpoint(connection: sqlite3.Connection) -> bool:
    """Close the connection so that it neither checkpoints nor deletes; False where Python cannot (before 3.12)."""
    option = getattr(sqlite3, "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE", None)
    set_config = getattr(connection, "setconfig", None)
    if option is None or set_config is None:
        return False
    try:
        set_config(option, True)  # noqa: FBT003 - sqlite3's signature
    except sqlite3.Error:
        return False
    connection.close()
    return True


def _keep(connection: sqlite3.Connection, main: FileId | None) -> None:
    if main is not None:
        _kept[main] = connection
    # Never to be freed: the end of the interpreter clears modules, and with the last reference the
    # connection would be closed, checkpoint included. The end of the process closes the files alone.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
