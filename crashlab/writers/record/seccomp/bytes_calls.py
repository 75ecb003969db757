"""Calls that change a file's bytes or size through a descriptor, or make them durable."""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from crashlab.writers.record.seccomp.files import File, Files
from crashlab.writers.record.seccomp.quick import Quick
from crashlab.writers.record.seccomp.reply import CONTINUE, Later, Reply
from crashlab.writers.record.seccomp.tasks import Task, Tasks

if TYPE_CHECKING:
    from crashlab.writers.record.seccomp.acks import Acks

__all__ = ["BytesCalls"]

WRITE_BYTES_MAX = 64 << 20
"""A larger write is done in part, which a program must expect; the kernel's own limit is 2 GiB."""

_COPY_BYTES_MAX = 8 << 20
_CURRENT = (1 << 64) - 1
_SIGNED = struct.Struct("<q")
_KEEP_SIZE = 1
_RWF_DSYNC, _RWF_SYNC, _RWF_APPEND = 2, 4, 16
_RWF_KNOWN = 0x1F

_libc = ctypes.CDLL(None, use_errno=True)


class BytesCalls:
    """Writes in all their forms, copies inside the kernel, truncates, allocations and syncs."""

    def __init__(self, files: Files, tasks: Tasks, refused: set[str], quick: Quick, acks: "Acks | None" = None) -> None:
        self._files = files
        self._tasks = tasks
        self._refused = refused
        self._quick = quick
        self._acks = acks
        self._memory = tasks.memory

    def handlers(self) -> dict[str, Callable[[Task, tuple[int, ...]], Reply]]:
        """Return the handlers by the names of the calls."""
        return {
            "write": self._write,
            "pwrite64": self._pwrite,
            "writev": self._writev,
            "pwritev": self._pwritev,
            "pwritev2": self._pwritev2,
            "sendfile": self._sendfile,
            "copy_file_range": self._copy_file_range,
            "splice": self._splice,
            "ftruncate": self._ftruncate,
            "fallocate": self._fallocate,
            "fsync": lambda task, args: self._sync(task, args, data_only=False),
            "fdatasync": lambda task, args: self._sync(task, args, data_only=True),
        }

    def _write(self, task: Task, args: tuple[int, ...]) -> Reply:
        return self._put(task, args[0], None, lambda: self._memory.read(task.thread, args[1], _capped(args[2])))

    def _pwrite(self, task: Task, args: tuple[int, ...]) -> Reply:
        return self._put(task, args[0], args[3], lambda: self._memory.read(task.thread, args[1], _capped(args[2])))

    def _writev(self, task: Task, args: tuple[int, ...]) -> Reply:
        return self._put(task, args[0], None, lambda: self._memory.buffers(task.thread, args[1], args[2]))

    def _pwritev(self, task: Task, args: tuple[int, ...]) -> Reply:
        return self._put(task, args[0], args[3], lambda: self._memory.buffers(task.thread, args[1], args[2]))

    def _pwritev2(self, task: Task, args: tuple[int, ...]) -> Reply:
        at = None if args[3] == _CURRENT else args[3]
        return self._put(
            task, args[0], at, lambda: self._memory.buffers(task.thread, args[1], args[2]), flags=args[5] & 0xFFFFFFFF
        )

    def _put(self, task: Task, number: int, at: int | None, data: Callable[[], bytes], *, flags: int = 0) -> Reply:
        """Write the caller's bytes to the file that it calls `number`."""
        descriptor = self._tasks.take(task, number)
        kept = False
        try:
            file = self._files.find(descriptor)
            if file is None:
                if self._acks is not None and self._acks.is_output(descriptor):
                    self._acks.see(task.process, data())
                return CONTINUE
            done = self._written(file, descriptor, data(), at, flags)
            state = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            if at is not None and not flags and not state & (os.O_APPEND | os.O_DSYNC):
                kept = isinstance(done, int) and done > 0 and self._quick.keep(task, number, descriptor, file)
            return done
        finally:
            if not kept:
                os.close(descriptor)

    def _written(self, file: File, descriptor: int, data: bytes, at: int | None, flags: int = 0) -> Reply:
        state = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if not data or (at is not None and at >= 1 << 63) or state & os.O_ACCMODE == os.O_RDONLY:
            return CONTINUE
        if flags & ~_RWF_KNOWN or flags & _RWF_APPEND:
            self._refused.add(f"pwritev2 with flags {flags:#x}")
            return -errno.EOPNOTSUPP
        if flags:
            done = self._files.write(
                file,
                descriptor,
                data,
                at,
                state,
                lambda exact: os.pwritev(descriptor, [exact], -1 if at is None else at, flags),
            )
        elif at is None:
            done = self._files.write(file, descriptor, data, None, state, lambda exact: os.write(descriptor, exact))
        else:
            done = self._files.write(file, descriptor, data, at, state, lambda exact: os.pwrite(descriptor, exact, at))
        if flags & (_RWF_DSYNC | _RWF_SYNC):
            self._files.synced(file)
        return done

    def _sendfile(self, task: Task, args: tuple[int, ...]) -> Reply:
        return self._copy(task, (args[1], args[2]), (args[0], 0), args[3])

    def _copy_file_range(self, task: Task, args: tuple[int, ...]) -> Reply:
        if args[5]:
            return CONTINUE  # no flags are known: the kernel says so
        return self._copy(task, (args[0], args[1]), (args[2], args[3]), args[4])

    def _copy(self, task: Task, source: tuple[int, int], target: tuple[int, int], count: int) -> Reply:
        """Copy by hand: fewer bytes than asked are allowed. A pair is a descriptor and where its offset is kept."""
        into = self._tasks.take(task, target[0])
        try:
            file = self._files.find(into)
            if file is None:
                return CONTINUE
            outof = self._tasks.take(task, source[0])
            try:
                if not stat.S_ISREG(os.fstat(outof).st_mode):
                    return -errno.EINVAL  # as old kernels say; reading a pipe here could wait for the caller itself
                return self._copied(task, file, (outof, source[1]), (into, target[1]), min(count, _COPY_BYTES_MAX))
            finally:
                os.close(outof)
        finally:
            os.close(into)

    def _copied(self, task: Task, file: File, source: tuple[int, int], target: tuple[int, int], count: int) -> Reply:
        read_at, write_at = (self._offset(task, pair[1]) for pair in (source, target))
        data = os.read(source[0], count) if read_at is None else os.pread(source[0], count, read_at)
        if not data:
            return 0
        done = self._written(file, target[0], data, write_at)
        if isinstance(done, int):
            if read_at is not None:
                self._memory.write(task.thread, source[1], _SIGNED.pack(read_at + done))
            elif done < len(data):
                os.lseek(source[0], done - len(data), os.SEEK_CUR)
            if write_at is not None:
                self._memory.write(task.thread, target[1], _SIGNED.pack(write_at + done))
        return done

    def _offset(self, task: Task, address: int) -> int | None:
        return int(_SIGNED.unpack(self._memory.read(task.thread, address, 8))[0]) if address else None

    def _splice(self, task: Task, args: tuple[int, ...]) -> Reply:
        descriptor = self._tasks.take(task, args[2])
        try:
            if self._files.find(descriptor) is None:
                return CONTINUE
        finally:
            os.close(descriptor)
        self._refused.add("splice into a file")
        return -errno.EINVAL  # what a file system without splice says

    def _ftruncate(self, task: Task, args: tuple[int, ...]) -> Reply:
        descriptor = self._tasks.take(task, args[0])
        try:
            file = self._files.find(descriptor)
            if file is None or args[1] >= 1 << 63 or not _writable(descriptor):
                return CONTINUE
            self._files.truncate(file, args[1], lambda: os.ftruncate(descriptor, args[1]))
            return 0
        finally:
            os.close(descriptor)

    def _fallocate(self, task: Task, args: tuple[int, ...]) -> Reply:
        mode, offset, length = args[1] & 0xFFFFFFFF, args[2], args[3]
        descriptor = self._tasks.take(task, args[0])
        try:
            file = self._files.find(descriptor)
            end = offset + length
            if file is None or mode == _KEEP_SIZE or end >= 1 << 63 or not _writable(descriptor):
                return CONTINUE
            if mode:
                self._refused.add(f"fallocate with mode {mode:#x}")
                return -errno.EOPNOTSUPP
            if end <= os.fstat(descriptor).st_size:
                return CONTINUE
            self._files.truncate(file, end, lambda: _allocate(descriptor, offset, length))
            return 0
        finally:
            os.close(descriptor)

    def _sync(self, task: Task, args: tuple[int, ...], *, data_only: bool) -> Reply:
        descriptor = self._tasks.take(task, args[0])
        try:
            file = self._files.find(descriptor)
            if file is not None:
                start = self._files.sync(file, data_only=data_only)
            elif stat.S_ISDIR(os.fstat(descriptor).st_mode) and (name := self._files.name_behind(descriptor)):
                start = self._files.sync_directory(name)
            else:
                os.close(descriptor)
                return CONTINUE
        except BaseException:
            os.close(descriptor)
            raise
        return Later(descriptor, data_only, start)


def _capped(count: int) -> int:
    return min(count, WRITE_BYTES_MAX)


def _writable(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _allocate(descriptor: int, offset: int, length: int) -> None:
    result = _libc.fallocate(ctypes.c_int(descriptor), ctypes.c_int(0), ctypes.c_long(offset), ctypes.c_long(length))
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
