"""What the program's descriptors stand for, and the records of what is done to them.

Only what the kernel says counts: a descriptor is looked up with `fstat` at every use, so that one that was
closed behind our back and given to another file is never taken for the old one, and the place of a write is
asked for just before it is done.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import sys
from _thread import RLock, _local

from crashlab.log.trace import DONE, HEAD, Role, TraceKind, encode_name, rename_payload, start_payload
from crashlab.writers.record.names import Names, path_of_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from crashlab.log.writer import LogWriter

    T = TypeVar("T")

NUMBERS_FROM = 1 << 30
"""File ids from here on are ours; those below are the tap's."""

PROBLEMS_MAX = 20
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TMPFILE = getattr(os, "O_TMPFILE", 0)
_SYNC_FLAGS = getattr(os, "O_SYNC", 0) | getattr(os, "O_DSYNC", 0)
# The kinds' plain numbers: an enum member is slower to pass to struct.
_WRITE, _SYNC, _DONE = int(TraceKind.WRITE), int(TraceKind.SYNC), int(TraceKind.DONE)


class Handle:
    """What one descriptor stands for. `name` is None for what is not recorded, `number` 0 until it is."""

    __slots__ = ("append", "directory", "key", "name", "number", "synchronous")

    def __init__(
        self,
        key: tuple[int, int],
        name: str | None = None,
        number: int = 0,
        *,
        directory: bool = False,
        append: bool = False,
        synchronous: bool = False,
    ) -> None:
        self.key = key
        self.name = name
        self.number = number
        self.directory = directory
        self.append = append
        self.synchronous = synchronous


class Inside(_local):
    """How deep the thread is inside the replacements: what it does there is recorded already."""

    depth = 0


class Ledger:
    """Records what is done to files of the run's directory; to be made before anything is replaced.

    `directory_syncs=False` records as if directories were never synced (for controls).

    Opens, writes, truncates, deletes and renames are recorded under one lock, START to DONE, so that the order
    in the log is that on disk. Syncs are not: see `crashlab.sqlite.tap.recorder`.
    """

    def __init__(self, log: LogWriter, directory: str, *, directory_syncs: bool = True) -> None:
        self.names = Names(directory)
        self.inside = Inside()
        self.problems: list[str] = []
        self._log = log
        self._directory_syncs = directory_syncs
        self._open, self._lseek, self._close = os.open, os.lseek, os.close
        self._lock = RLock()  # re-entered when a collected file is flushed inside a call
        self._numbers = itertools.count(NUMBERS_FROM)
        self._handles: dict[int, Handle] = {}
        self._by_key: dict[tuple[int, int], int] = {}
        self._pid = os.getpid()

    def problem(self, text: str) -> None:
        """Note something that was done to the run's files and can't be recorded: the recording is void.

        A name that was never there goes into the log, so that it can't be read as a whole one, whichever
        process met the problem and however that ended.
        """
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(text)
            tail = encode_name(f"(not recorded: {text})")
            self._done(self._log.append(TraceKind.DELETE, start_payload(TraceKind.DELETE, tail=tail)), 0)

    def name_of(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Return the name under which a path is recorded, None if it is not."""
        if isinstance(path, int):
            return None
        within = None
        if dir_fd is not None and not os.path.isabs(os.fsdecode(path)):  # noqa: PTH117 - any kind of path
            handle = self.find(dir_fd)
            if handle.name is None:
                return None
            within = os.path.join(self.names.directory, handle.name)
        return self.names.relative(path, within)

    def find(self, descriptor: int) -> Handle:
        """Return what a descriptor stands for now."""
        if os.getpid() != self._pid:
            self._continue_in_child()
        try:
            status = os.fstat(descriptor)
        except OSError:
            return Handle((-1, -1))
        key = (status.st_dev, status.st_ino)
        handle = self._handles.get(descriptor)
        if handle is None or handle.key != key:
            handle = self._handles[descriptor] = self._strange(descriptor, status.st_mode, key)
        return handle

    def open(self, path: Any, flags: int, mode: int, dir_fd: int | None) -> int:
        """`os.open`, recorded when it may change something."""
        name = self.name_of(path, dir_fd)
        if name is None or (_TMPFILE and flags & _TMPFILE == _TMPFILE):
            return self._really_open(path, flags, mode, dir_fd)
        with self._lock:
            found = _status(path, dir_fd)
            if found is not None and stat.S_ISLNK(found.st_mode):
                full = os.path.realpath(os.path.join(self.names.directory, name))
                name, found = self.names.relative(full), _status(full, None)
            if name is not None and (found is None or stat.S_ISREG(found.st_mode)):
                if flags & _WRITE_FLAGS:
                    return self._recorded_open(path, flags, mode, dir_fd, name, created=found is None)
                return self._known(self._really_open(path, flags, mode, dir_fd), name)
        # Not under the lock: a named pipe waits for its other end.
        descriptor = self._really_open(path, flags, mode, dir_fd)
        return self._known(descriptor, name if found is not None and stat.S_ISDIR(found.st_mode) else None)

    def write(self, descriptor: int, data: Any, at: int | None, do: Callable[[Any], int]) -> int:
        """Write, by `do(data)`, at an offset or where the descriptor stands; return how many bytes were written."""
        handle = self.find(descriptor)
        if handle.name is None or handle.directory:
            return do(data)
        data = bytes(data)
        if not data:
            return do(data)
        with self._lock:
            number = handle.number or self._number(handle, descriptor)
            if handle.append and (at is None or sys.platform.startswith("linux")):
                offset = os.fstat(descriptor).st_size
            else:
                offset = self._lseek(descriptor, 0, os.SEEK_CUR) if at is None else at
            start = self._log.append(_WRITE, HEAD.pack(number, 0, offset) + data)
            written = self._finish(start, lambda: do(data), whole=len(data))
            if written != len(data) and written:
                self._done(self._log.append(_WRITE, HEAD.pack(number, 0, offset) + data[:written]), 0)
        if handle.synchronous:
            self._done(self._log.append(_SYNC, HEAD.pack(number, 0, 0)), 0)
        return written

    def truncate(self, descriptor: int, size: int, do: Callable[[], T]) -> T:
        """Change a file's size, by `do()`."""
        handle = self.find(descriptor)
        if handle.name is None or handle.directory:
            return do()
        with self._lock:
            number = handle.number or self._number(handle, descriptor)
            return self._finish(self._log.append(TraceKind.TRUNCATE, HEAD.pack(number, 0, size)), do)

    def sync(self, descriptor: int, do: Callable[[], T]) -> T:
        """Sync a file or a directory, by `do()`."""
        handle = self.find(descriptor)
        if handle.name is None or (handle.directory and not self._directory_syncs):
            return do()
        if handle.directory:
            payload = HEAD.pack(0, 0, 0) + encode_name(handle.name)
            return self._finish(self._log.append(TraceKind.DIRSYNC, payload), do)
        with self._lock:
            number = handle.number or self._number(handle, descriptor)
        return self._finish(self._log.append(_SYNC, HEAD.pack(number, 0, 0)), do)

    def close(self, descriptor: int, do: Callable[[], T]) -> T:
        """Close a descriptor, by `do()`."""
        handle = self._handles.pop(descriptor, None)
        if handle is None or not handle.number or os.getpid() != self._pid:
            return do()
        return self._finish(self._log.append(TraceKind.CLOSE, HEAD.pack(handle.number, 0, 0)), do)

    def delete(self, path: Any, dir_fd: int | None, do: Callable[[], T]) -> T:
        """Remove a file's name, by `do()`."""
        name = self.name_of(path, dir_fd)
        with self._lock:
            found = None if name is None else _status(path, dir_fd)
            if name is None or found is None or not stat.S_ISREG(found.st_mode):
                return self._in(do)
            payload = start_payload(TraceKind.DELETE, role=Role.PLAIN, tail=encode_name(name))
            result = self._finish(self._log.append(TraceKind.DELETE, payload), do)
            self._forget(found)
            return result

    def rename(self, old: Any, new: Any, old_fd: int | None, new_fd: int | None, do: Callable[[], T]) -> T:
        """Give a file another name, by `do()`."""
        first, second = self.name_of(old, old_fd), self.name_of(new, new_fd)
        with self._lock:
            found = None if first is None and second is None else _status(old, old_fd)
            if found is None or not stat.S_ISREG(found.st_mode):
                result = self._in(do)
                if found is not None and stat.S_ISDIR(found.st_mode):
                    self._directory_moved(old, new, new_fd)
                return result
            if first is None:
                result = self._in(do)
                self.problem(f"{os.fsdecode(old)!r} was moved into the run's directory as {second!r}")
                return result
            replaced = _status(new, new_fd)
            if second is None:
                payload = start_payload(TraceKind.DELETE, role=Role.PLAIN, tail=encode_name(first))
                return self._finish(self._log.append(TraceKind.DELETE, payload), do)
            result = self._finish(self._log.append(TraceKind.RENAME, rename_payload(first, second)), do)
            if replaced is not None and (replaced.st_dev, replaced.st_ino) != (found.st_dev, found.st_ino):
                self._forget(replaced)
            return result

    def linked(self, what: str, path: Any, dir_fd: int | None) -> None:
        """A file got a second name, or a name that points to another, which the trace has no record for."""
        if self.name_of(path, dir_fd) is not None:
            self.problem(f"{what} made {os.fsdecode(path)!r}; links are not recorded")

    def _directory_moved(self, old: Any, new: Any, new_fd: int | None) -> None:
        if new_fd is not None or any(files for _, _, files in os.walk(new)):
            self.problem(f"the directory {os.fsdecode(old)!r} was renamed with files in it")

    def _recorded_open(self, path: Any, flags: int, mode: int, dir_fd: int | None, name: str, *, created: bool) -> int:
        kind = TraceKind.CREATE if created and flags & os.O_CREAT else TraceKind.OPEN
        number = next(self._numbers)
        payload = start_payload(kind, file=number, flags=flags, role=Role.PLAIN, tail=encode_name(name))
        start = self._log.append(kind, payload)
        descriptor = self._finish(start, lambda: self._really_open(path, flags, mode, dir_fd))
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        self._by_key[key] = number
        self._handles[descriptor] = Handle(
            key,
            name,
            number,
            append=bool(flags & os.O_APPEND),
            synchronous=bool(_SYNC_FLAGS and flags & _SYNC_FLAGS),
        )
        return descriptor

    def _really_open(self, path: Any, flags: int, mode: int, dir_fd: int | None) -> int:
        return self._in(lambda: self._open(path, flags, mode, dir_fd=dir_fd))

    def _known(self, descriptor: int, name: str | None) -> int:
        """Remember a descriptor that only reads, or is a directory's."""
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        directory = stat.S_ISDIR(status.st_mode)
        self._handles[descriptor] = Handle(key, name, self._by_key.get(key, 0), directory=directory)
        return descriptor

    def _strange(self, descriptor: int, mode: int, key: tuple[int, int]) -> Handle:
        """A descriptor that came from elsewhere: a duplicate, inherited, opened by a C function."""
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return Handle(key)
        path = path_of_descriptor(descriptor)
        name = None if path is None else self.names.relative(path)
        number = self._by_key.get(key, 0)
        if path is None and number:
            name = "(renamed or removed)"
        append = name is not None and _appends(descriptor)
        return Handle(key, name, number, directory=stat.S_ISDIR(mode), append=append)

    def _number(self, handle: Handle, descriptor: int) -> int:
        """Give a file its number, by a record that says under which name it is known."""
        path = path_of_descriptor(descriptor)
        name = (None if path is None else self.names.relative(path)) or handle.name or ""
        handle.number = self._by_key[handle.key] = next(self._numbers)
        payload = start_payload(TraceKind.OPEN, file=handle.number, role=Role.PLAIN, tail=encode_name(name))
        self._done(self._log.append(TraceKind.OPEN, payload), 0)
        return handle.number

    def _forget(self, status: os.stat_result) -> None:
        if status.st_nlink <= 1:  # the system may give its number to another file
            self._by_key.pop((status.st_dev, status.st_ino), None)

    def _continue_in_child(self) -> None:
        """A forked child has a log of its own, in which no file has a number yet."""
        self._pid = os.getpid()
        self._lock = RLock()  # a thread of the parent may have held the old one
        self._by_key.clear()
        for handle in self._handles.values():
            handle.number = 0

    def _in(self, do: Callable[[], T]) -> T:
        self.inside.depth += 1
        try:
            return do()
        finally:
            self.inside.depth -= 1

    def _finish(self, start: int, do: Callable[[], T], *, whole: int | None = None) -> T:
        """Do what was begun and record its end; a write of fewer bytes than `whole` ends as a failed one."""
        self.inside.depth += 1
        try:
            result = do()
        except BaseException as error:
            self._done(start, (isinstance(error, OSError) and error.errno) or errno.EINTR)
            raise
        finally:
            self.inside.depth -= 1
        self._done(start, 0 if whole is None or result == whole else errno.EIO)
        return result

    def _done(self, start: int, rc: int) -> None:
        self._log.append(_DONE, DONE.pack(start, rc))


def _status(path: Any, dir_fd: int | None) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except (OSError, ValueError, TypeError):
        return None


def _appends(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
