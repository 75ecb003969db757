"""The records of what is done to files of the run's directory, whichever process of the tree does it.

A file is known by device and inode of the very open file that a call names, so duplicated, inherited and
passed descriptors need no bookkeeping. One thread does all operations but syncs, each from START to DONE, so
the order in the log is that on disk.
"""

import errno
import fcntl
import itertools
import os
import re
import stat
from collections.abc import Callable
from typing import TypeVar

import msgspec

from crashlab.log.format import Kind
from crashlab.log.trace import DONE, HEAD, Role, TraceKind, encode_name, rename_payload, start_payload
from crashlab.log.writer import LogWriter
from crashlab.writers.record.names import Names
from crashlab.writers.record.seccomp.order import KillAt

__all__ = ["SYNC_ALL", "SYNC_DATA", "File", "Files", "KillReached"]

T = TypeVar("T")

PROBLEMS_MAX = 20
_FOREIGN_MAX = 4096
_MAGIC = b"SQLite format 3\0"  # https://sqlite.org/fileformat.html, section 1.3
_SUPER_JOURNAL = re.compile(r"-mj[0-9A-F]{6}9[0-9A-F]{2}$")  # sqlite3VdbeHalt's vdbeCommit in vdbeaux.c
SYNC_ALL, SYNC_DATA = 2, 2 | 0x10  # SQLITE_SYNC_NORMAL, SQLITE_SYNC_DATAONLY
# The kinds' plain numbers: an enum member is slower to pass to struct.
_WRITE, _DONE = int(TraceKind.WRITE), int(TraceKind.DONE)


class KillReached(BaseException):
    """The operation of a `KillAt` has begun: its START is in the log, its DONE will not be."""


class File(msgspec.Struct):
    """A tracked file; `number` is its id in the log."""

    number: int
    name: str
    role: Role


class Files:
    """What the directory holds, as far as the recorded tree has touched it, and the records about it."""

    def __init__(self, log: LogWriter, directory: str, kill: KillAt | None = None) -> None:
        self.names = Names(directory)
        self.log = log
        self.problems: list[str] = []
        self.operations = 0
        self._kill = kill
        self._kind = TraceKind[kill.kind.upper()] if kill is not None and kill.kind else None
        self._left = kill.count if kill is not None else 0
        self._numbers = itertools.count(1)
        self._files: dict[tuple[int, int], File] = {}
        self._foreign: set[tuple[int, int]] = set()
        self._roles: dict[str, Role] = {}

    @property
    def watched(self) -> bool:
        """Whether a kill point is waited for, so that each operation has to be looked at."""
        return self._kill is not None

    def known(self, key: tuple[int, int]) -> File | None:
        """Return what a device and inode stand for now."""
        return self._files.get(key)

    def problem(self, text: str) -> None:
        """Note something that can't be recorded: the recording is void.

        A name that was never there goes into the log, so that nobody can read it as a whole one.
        """
        if text not in self.problems and len(self.problems) < PROBLEMS_MAX:
            self.problems.append(text)
            tail = encode_name(f"(not recorded: {text})")
            self._done(self.log.append(TraceKind.DELETE, start_payload(TraceKind.DELETE, tail=tail)), 0)

    def find(self, descriptor: int) -> File | None:
        """Return the tracked file behind a descriptor of ours; None for pipes, directories, files elsewhere."""
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        found = self._files.get(key)
        if found is not None or key in self._foreign or not stat.S_ISREG(status.st_mode):
            return found
        name = self.name_behind(descriptor)
        if name is None:
            if len(self._foreign) >= _FOREIGN_MAX:
                self._foreign.clear()
            self._foreign.add(key)
            return None
        # Opened before the recording, or by a way that is not watched: a file that the trace doesn't know is
        # refused when the log is loaded.
        return self._number(key, name, self._role(name, descriptor))

    def name_behind(self, descriptor: int) -> str | None:
        """Return the recorded name that a descriptor of ours has now."""
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - it may be no path
        return None if path.endswith(" (deleted)") else self.names.relative(path)

    def open(self, full: str, name: str, flags: int, mode: int) -> int:
        """Open a file that is, or will be, a regular one; return a descriptor of ours."""
        existed = os.path.lexists(full)
        if not existed and not flags & os.O_CREAT:
            return os.open(full, flags, mode)
        role = self._role(name, None)
        kind = TraceKind.OPEN if existed else TraceKind.CREATE
        number = next(self._numbers)
        shown = flags & ~os.O_TRUNC if role is Role.PLAIN else 0
        tail = encode_name(name)
        start = self._begin(kind, name, start_payload(kind, file=number, flags=shown, role=role, tail=tail))
        cut = None
        if existed and flags & os.O_TRUNC:
            cut = self._begin(TraceKind.TRUNCATE, name, HEAD.pack(number, 0, 0))
        try:
            descriptor = os.open(full, flags, mode)
        except OSError as error:
            for begun in (start,) if cut is None else (start, cut):
                self._done(begun, error.errno or errno.EIO)
            raise
        self._done(start, 0)
        if cut is not None:
            self._done(cut, 0)
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        self._foreign.discard(key)
        self._files[key] = File(number, name, role)
        self._roles.setdefault(name, role)
        if role is Role.PLAIN and self._role(name, descriptor) is Role.MAIN:
            self._number(key, name, Role.MAIN)
        return descriptor

    def write(
        self, file: File, descriptor: int, data: bytes, at: int | None, flags: int, do: Callable[[bytes], int]
    ) -> int:
        """Write by `do(data)`, at an offset or where the open file stands; return how many bytes were written.

        `flags`: of the open file, as `F_GETFL` gives them.
        """
        if flags & os.O_APPEND:
            offset = os.fstat(descriptor).st_size
        else:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR) if at is None else at
        if offset == 0 and file.role is Role.PLAIN and data.startswith(_MAGIC):
            status = os.fstat(descriptor)
            file = self._number((status.st_dev, status.st_ino), file.name, Role.MAIN)
        try:
            start = self._begin(TraceKind.WRITE, file.name, HEAD.pack(file.number, 0, offset) + data)
        except KillReached:
            if self._kill is not None and self._kill.torn:
                do(data[: self._kill.torn])
            raise
        try:
            written = do(data)
        except OSError as error:
            self._done(start, error.errno or errno.EIO)
            raise
        if written == len(data):
            self._done(start, 0)
        else:
            self.cut_short(file, start, offset, data[:written])
        if at is None and not flags & os.O_APPEND and os.lseek(descriptor, 0, os.SEEK_CUR) != offset + written:
            self.problem(f"another thread moved the position of {file.name!r} during a write")
        if flags & os.O_DSYNC:  # O_SYNC has O_DSYNC's bit
            self.synced(file)
        return written

    def cut_short(self, file: File, start: int, offset: int, done: bytes) -> None:
        """Record that a write ended with only `done` written: it failed, and another one did that."""
        self._done(start, errno.EIO)
        if done:
            self._done(self.log.append(_WRITE, HEAD.pack(file.number, 0, offset) + done), 0)

    def truncate(self, file: File, size: int, do: Callable[[], T]) -> T:
        """Change a file's size, by `do()`."""
        return self._finish(self._begin(TraceKind.TRUNCATE, file.name, HEAD.pack(file.number, 0, size)), do)

    def sync(self, file: File, *, data_only: bool) -> int:
        """Begin a sync of a file; end it with `done`."""
        return self._begin(TraceKind.SYNC, file.name, HEAD.pack(file.number, SYNC_DATA if data_only else SYNC_ALL, 0))

    def synced(self, file: File) -> None:
        """Record that what was written to a file so far is durable."""
        self._done(self.sync(file, data_only=True), 0)

    def sync_directory(self, name: str) -> int:
        """Begin a sync of a directory; end it with `done`."""
        return self._begin(TraceKind.DIRSYNC, name, HEAD.pack(0, 0, 0) + encode_name(name))

    def done(self, start: int, rc: int) -> None:
        """Record how an operation ended: 0 or an errno. Safe to call from any thread."""
        self._done(start, rc)

    def delete(self, full: str, name: str, status: os.stat_result, do: Callable[[], T]) -> T:
        """Remove a file's name, by `do()`, or move it out of the directory."""
        role = self._roles.get(name, Role.PLAIN)
        payload = start_payload(TraceKind.DELETE, role=role, tail=encode_name(name))
        result = self._finish(self._begin(TraceKind.DELETE, name, payload), do)
        self._roles.pop(name, None)
        self._forget(status)
        return result

    def rename(
        self, old: str, new: str, status: os.stat_result, replaced: os.stat_result | None, do: Callable[[], T]
    ) -> T:
        """Give a file another name, by `do()`."""
        result = self._finish(self._begin(TraceKind.RENAME, new, rename_payload(old, new)), do)
        if replaced is not None and replaced.st_ino != status.st_ino:
            self._forget(replaced)
        self._roles[new] = self._roles.pop(old, Role.PLAIN)
        file = self._files.get((status.st_dev, status.st_ino))
        if file is not None:
            file.name = new
        return result

    def _number(self, key: tuple[int, int], name: str, role: Role) -> File:
        """Give a file a new number, by a record that says under which name and as what it is known."""
        file = self._files[key] = File(next(self._numbers), name, role)
        self._roles[name] = role
        payload = start_payload(TraceKind.OPEN, file=file.number, role=role, tail=encode_name(name))
        self._done(self.log.append(TraceKind.OPEN, payload), 0)
        return file

    def _role(self, name: str, descriptor: int | None) -> Role:
        """What a file is to SQLite, as far as name and first bytes tell."""
        for suffix, role in (("-wal", Role.WAL), ("-journal", Role.JOURNAL)):
            if name.endswith(suffix) and name[: -len(suffix)] in self._roles:
                return role
        if _SUPER_JOURNAL.search(name):
            return Role.SUPER_JOURNAL
        if self._roles.get(name) is Role.MAIN:
            return Role.MAIN
        if descriptor is not None and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
            # This process has no connection to it, so no lock of the program's is lost by reading here.
            return Role.MAIN if os.pread(descriptor, len(_MAGIC), 0) == _MAGIC else Role.PLAIN
        return Role.PLAIN

    def _forget(self, status: os.stat_result) -> None:
        if status.st_nlink <= 1:  # the system may give its number to another file
            self._files.pop((status.st_dev, status.st_ino), None)

    def _begin(self, kind: TraceKind, name: str, payload: bytes) -> int:
        self.operations += 1
        kill = self._kill
        if kill is not None and kind is not TraceKind.OPEN and self._kind in (None, kind) and kill.name in ("", name):
            self._left -= 1
            if not self._left:
                self.log.append(Kind.FIRED, msgspec.msgpack.encode(f"killed at {kind.name.lower()} {name}"))
                self.log.append(kind, payload)
                raise KillReached
        return self.log.append(kind, payload)

    def _finish(self, start: int, do: Callable[[], T]) -> T:
        try:
            result = do()
        except OSError as error:
            self._done(start, error.errno or errno.EIO)
            raise
        self._done(start, 0)
        return result

    def _done(self, start: int, rc: int) -> None:
        self.log.append(_DONE, DONE.pack(start, rc))
