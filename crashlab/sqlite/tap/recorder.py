"""The recorder: what reaches SQLite's files, into the one log.

It sits innermost, next to SQLite's own functions, so it records what was done to the files and not what
SQLite asked for: a write that a listener refused is not there, one that a listener cut short is there as
short as it was.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
from _thread import RLock

from crashlab.log.trace import DIRSYNC_BIT, DONE, HEAD, Role, TraceKind, encode_name, start_payload
from crashlab.sqlite.tap.operation import NOT_FOUND, Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crashlab.log.writer import LogWriter
    from crashlab.sqlite.tap.call import OpenFile
    from crashlab.sqlite.tap.tap import Tap

_OPEN_CREATE = 0x00000004
_FCNTL_SIZE_HINT = 5
_FCNTL_MMAP_SIZE = 18
_SYNCS_DIRECTORY = frozenset({Role.WAL, Role.JOURNAL, Role.SUPER_JOURNAL})
# The kinds' plain numbers: an enum member is slower to pass to struct.
_TRUNCATE, _SYNC, _DONE = int(TraceKind.TRUNCATE), int(TraceKind.SYNC), int(TraceKind.DONE)
# As `ctypes.string_at`, without its audit event at each call.
_bytes_at = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)


class Recorder:
    """Records opens, writes, truncates, syncs, closes and deletes; temporary files without a name are left out.

    `log`: the process's log. `directory`: the run's; names inside it are stored relative to it.

    `directory_syncs=False` records a system whose directories are never synced (for controls).

    Writes, truncates, opens and deletes are recorded under one lock, START to DONE, so that the order in the
    log is the order on disk. Syncs are not: what was written between the START and the DONE of a sync may or
    may not be covered by it.
    """

    def __init__(self, log: LogWriter, directory: str | os.PathLike[str], *, directory_syncs: bool = True) -> None:
        self._log = log
        self._wants_directory_syncs = directory_syncs
        # SQLite resolves links before it opens, so the directory must be compared resolved.
        self._directory = os.path.realpath(directory)
        self._lock = RLock()  # re-entered when a garbage-collected connection closes inside a call
        self._numbers = itertools.count(1)
        self._directory_syncs = False

    def attached(self, tap: Tap) -> None:
        """The tap is about to be installed."""
        self._directory_syncs = (
            self._wants_directory_syncs
            and sys.platform != "win32"
            and not tap.bindings.compiled_with("DISABLE_DIRSYNC")
        )

    def stored_name(self, name: str) -> str:
        """Return a path as the log holds it."""
        relative = _inside(self._directory, name)
        return name if relative is None else relative

    def wrap(self, operation: Operation, real: Callable[..., int], tap: Tap) -> Callable[..., int] | None:
        """Return `real` with its record and the tap's guard around it, or None for what is not recorded."""
        match operation:
            case Operation.WRITE:
                return self._write(real, tap)
            case Operation.TRUNCATE:
                return self._truncate(real, tap)
            case Operation.SYNC:
                return self._sync(real, tap)
            case Operation.FILE_CONTROL:
                return self._file_control(real, tap)
        return None

    def open(self, file: OpenFile, real: Callable[..., int], arguments: tuple[Any, ...]) -> int:
        """Open a file and record it."""
        if not file.name:
            return real(*arguments)
        with self._lock:
            created = bool(file.flags & _OPEN_CREATE) and not os.path.lexists(file.name)
            file.number = next(self._numbers)
            kind = TraceKind.CREATE if created else TraceKind.OPEN
            name = encode_name(self.stored_name(file.name))
            start = self._log.append(
                kind, start_payload(kind, file=file.number, flags=file.flags, role=file.role, tail=name)
            )
            rc = real(*arguments)
            self._done(start, rc)
            return rc

    def delete(self, name: str, role: Role, real: Callable[..., int], arguments: tuple[Any, ...]) -> int:
        """Delete a file and record it."""
        flags = DIRSYNC_BIT if self._directory_syncs and arguments[2] & 1 else 0
        tail = encode_name(self.stored_name(name))
        with self._lock:
            start = self._log.append(
                TraceKind.DELETE, start_payload(TraceKind.DELETE, flags=flags, role=role, tail=tail)
            )
            rc = real(*arguments)
            self._done(start, rc)
            return rc

    def close(self, file: OpenFile, real: Callable[..., int], arguments: tuple[Any, ...]) -> int:
        """Close a file and record it."""
        if not file.number:
            return real(*arguments)
        start = self._log.append(TraceKind.CLOSE, HEAD.pack(file.number, 0, 0))
        rc = real(*arguments)
        self._done(start, rc)
        return rc

    def _done(self, start: int, rc: int) -> None:
        self._log.append(_DONE, DONE.pack(start, rc))

    def _write(self, real: Callable[..., int], tap: Tap) -> Callable[..., int]:
        write_around, lock, lookup = self._log.write_around, self._lock, tap.files.get

        def write(address: int, data: int, size: int, offset: int) -> int:
            try:
                file = lookup(address)
                if file is None or not file.number:  # nameless, or the tap is just being removed
                    return real(address, data, size, offset)
                copy = _bytes_at(data, size)
                with lock:
                    return write_around(file.number, copy, real, address, data, size, offset)
            except BaseException as error:
                return tap.failed(error, Operation.WRITE, write, (address, data, size, offset))

        return write

    def _truncate(self, real: Callable[..., int], tap: Tap) -> Callable[..., int]:
        def truncate(address: int, size: int) -> int:
            try:
                file = tap.files.get(address)
                if file is None or not file.number:
                    return real(address, size)
                with self._lock:
                    start = self._log.append(_TRUNCATE, HEAD.pack(file.number, 0, size))
                    rc = real(address, size)
                    self._done(start, rc)
                return rc
            except BaseException as error:
                return tap.failed(error, Operation.TRUNCATE, truncate, (address, size))

        return truncate

    def _sync(self, real: Callable[..., int], tap: Tap) -> Callable[..., int]:
        lookup, append, head, done = tap.files.get, self._log.append, HEAD.pack, self._done

        def sync(address: int, flags: int) -> int:
            try:
                file = lookup(address)
                if file is None or not file.number:
                    return real(address, flags)
                # unixOpen marks a journal or WAL opened with CREATE, whether or not it was there before; unixSync
                # syncs the directory the first time and takes the mark away.
                directory = (
                    self._directory_syncs
                    and not file.directory_synced
                    and file.role in _SYNCS_DIRECTORY
                    and file.flags & _OPEN_CREATE
                )
                start = append(_SYNC, head(file.number, flags | DIRSYNC_BIT if directory else flags, 0))
                rc = real(address, flags)
                if directory and rc == 0:
                    file.directory_synced = True
                done(start, rc)
                return rc
            except BaseException as error:
                return tap.failed(error, Operation.SYNC, sync, (address, flags))

        return sync

    def _file_control(self, real: Callable[..., int], tap: Tap) -> Callable[..., int]:
        """A size hint may grow the file: with memory mapping on, the unix VFS truncates it up to the hint."""

        def file_control(address: int, code: int, argument: int) -> int:
            try:
                if code != _FCNTL_SIZE_HINT:
                    return real(address, code, argument)
                return self._size_hint(real, tap.files.get(address), address, argument)
            except BaseException as error:
                return tap.failed(error, Operation.FILE_CONTROL, file_control, (address, code, argument))

        return file_control

    def _size_hint(self, real: Callable[..., int], file: OpenFile | None, address: int, argument: int) -> int:
        if file is None or not file.number:
            return real(address, _FCNTL_SIZE_HINT, argument)
        hint = ctypes.c_int64.from_address(argument).value
        limit = ctypes.c_int64(-1)
        known = real(address, _FCNTL_MMAP_SIZE, ctypes.addressof(limit)) == 0
        before = _size_on_disk(file.name)
        if not known or limit.value <= 0 or hint <= before:
            return real(address, _FCNTL_SIZE_HINT, argument)
        with self._lock:
            start = self._log.append(_TRUNCATE, HEAD.pack(file.number, 0, hint))
            rc = real(address, _FCNTL_SIZE_HINT, argument)
            self._done(start, 0 if _size_on_disk(file.name) == hint else rc or NOT_FOUND)
        return rc


def _size_on_disk(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return 0


def _inside(directory: str, name: str) -> str | None:
    """Return the path relative to a directory, with `/`; None when it is not inside."""
    if not name:
        return None
    if os.path.normcase(name) == os.path.normcase(directory):
        return "."
    prefix = os.path.join(directory, "")
    if not os.path.normcase(name).startswith(os.path.normcase(prefix)):
        return None
    return name[len(prefix) :].replace(os.sep, "/")
