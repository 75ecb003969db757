"""The calls that a commit is made of, at the least cost: positioned writes and syncs of SQLite's own files.

A descriptor that was written through once is kept, with the memory of its process, so that the next write through it
needs no more than: is it still the same open file (`kcmp(2)`), the bytes, the write. All else, and all that goes wrong
before anything was done, is left to the general way.

A kept descriptor keeps its open file from being released, which only locks of the open file itself would notice: after
a `flock` or an open-file-description lock nothing is kept of that file any more, nor after it was told to append. The
memory is asked for anew after each exec.
"""

import contextlib
import errno
import os

from crashlab.log.trace import DONE, HEAD, Role, TraceKind
from crashlab.writers.record.seccomp.files import SYNC_ALL, SYNC_DATA, File, Files
from crashlab.writers.record.seccomp.kernel import Listener, is_same_file
from crashlab.writers.record.seccomp.tasks import Task, Tasks

__all__ = ["Quick"]

KEPT_MAX = 64
BARRED_MAX = 4096
BYTES_MAX = 1 << 17
_ROLES = frozenset({Role.MAIN, Role.WAL, Role.JOURNAL})
_WRITE, _SYNC, _DONE = int(TraceKind.WRITE), int(TraceKind.SYNC), int(TraceKind.DONE)
_pack_head, _pack_done = HEAD.pack, DONE.pack


class _Kept:
    __slots__ = ("descriptor", "file", "key")

    def __init__(self, descriptor: int, file: File, key: tuple[int, int]) -> None:
        self.descriptor, self.file, self.key = descriptor, file, key


class Quick:
    """Serves `pwrite64`, `fsync` and `fdatasync`. `can`: this kernel and the order of the run allow it."""

    def __init__(self, listener: Listener, files: Files, tasks: Tasks) -> None:
        self._listener, self._files, self._tasks, self._log = listener, files, tasks, files.log
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._memory: dict[int, int] = {}
        self._barred: set[tuple[int, int]] = set()
        self._me = os.getpid()
        self.can = not files.watched and is_same_file(self._me, self._me, 0, 0)

    def keep(self, task: Task, number: int, descriptor: int, file: File) -> bool:
        """Take a descriptor of ours over for what a task calls `number`, if writes through it are to be quick."""
        process = task.process
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if not self.can or file.role not in _ROLES or key in self._barred:
            return False
        if process not in self._memory:
            try:
                self._memory[process] = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return False
        place = (process, number & 0xFFFFFFFF)
        self._drop(place)
        if len(self._kept) >= KEPT_MAX:
            self._drop(next(iter(self._kept)))
        self._kept[place] = _Kept(descriptor, file, key)
        return True

    def write(self, call: tuple[int, ...]) -> bool:
        """Do a `pwrite64`; false if the general way has to."""
        count, offset = call[8], call[9]
        if not 0 < count <= BYTES_MAX or offset >= 1 << 62:
            return False
        process = self._tasks.find(call[1]).process
        kept = self._find(process, call[6])
        if kept is None:
            return False
        try:
            data = os.pread(self._memory[process], count, call[7])
        except OSError:
            data = b""
        if len(data) != count:
            self.forget(process)
            return False
        log, file = self._log, kept.file
        self._files.operations += 1
        start = log.append(_WRITE, _pack_head(file.number, 0, offset) + data)
        try:
            written = os.pwrite(kept.descriptor, data, offset)
        except OSError as error:
            self._files.done(start, error.errno or errno.EIO)
            self._listener.answer(call[0], -(error.errno or errno.EIO))
            return True
        if written == count:
            log.append(_DONE, _pack_done(start, 0))
        else:
            self._files.cut_short(file, start, offset, data[:written])
        self._listener.answer(call[0], written)
        return True

    def sync(self, call: tuple[int, ...], *, data_only: bool) -> bool:
        """Do a sync; false if the general way has to, as it does where others could go on meanwhile."""
        if len(self._tasks) != 1:
            return False
        kept = self._find(self._tasks.find(call[1]).process, call[6])
        if kept is None:
            return False
        log = self._log
        self._files.operations += 1
        start = log.append(_SYNC, _pack_head(kept.file.number, SYNC_DATA if data_only else SYNC_ALL, 0))
        result = 0
        try:
            (os.fdatasync if data_only else os.fsync)(kept.descriptor)
        except OSError as error:
            result = error.errno or errno.EIO
        log.append(_DONE, _pack_done(start, result))
        self._listener.answer(call[0], -result)
        return True

    def _find(self, process: int, number: int) -> _Kept | None:
        place = (process, number & 0xFFFFFFFF)
        kept = self._kept.get(place)
        if kept is None:
            return None
        if self._files.known(kept.key) is kept.file and is_same_file(self._me, process, kept.descriptor, place[1]):
            return kept
        self._drop(place)
        return None

    def bar(self, descriptor: int) -> None:
        """Let go of a file for good; `descriptor` is ours."""
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if len(self._barred) >= BARRED_MAX:
            self.can = False
        self._barred.add(key)
        for place in [place for place, kept in self._kept.items() if kept.key == key]:
            self._drop(place)

    def forget(self, process: int) -> None:
        """Let go of all that is kept of a process."""
        for place in [place for place in self._kept if place[0] == process]:
            self._drop(place)
        memory = self._memory.pop(process, None)
        if memory is not None:
            os.close(memory)

    def _drop(self, place: tuple[int, int]) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            os.close(kept.descriptor)

    def close(self) -> None:
        """Let go of everything."""
        for process in tuple(self._memory):
            with contextlib.suppress(OSError):
                self.forget(process)
