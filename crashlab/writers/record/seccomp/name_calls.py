"""Calls that change names, or open a file by name."""

import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import NamedTuple

from crashlab.writers.record.seccomp.files import Files
from crashlab.writers.record.seccomp.guard import Guard
from crashlab.writers.record.seccomp.program import CHANGING_FLAGS
from crashlab.writers.record.seccomp.reply import CONTINUE, Give, Reply
from crashlab.writers.record.seccomp.tasks import Task, Tasks

__all__ = ["NameCalls"]

_CWD = (-100) & 0xFFFFFFFF
_REMOVE_DIRECTORY = 0x200
_RENAME_NO_REPLACE = 1
_LINKS_MAX = 40
_MAKE_OR_CUT = os.O_CREAT | os.O_TRUNC


class _Named(NamedTuple):
    """A path of a call: absolute, its recorded name (None: not ours), and what is there now, itself if a link."""

    full: str
    name: str | None
    status: os.stat_result | None

    @property
    def regular(self) -> bool:
        return self.status is not None and stat.S_ISREG(self.status.st_mode)


class NameCalls:
    """Opens, truncates by name, deletes, renames, links."""

    def __init__(self, files: Files, tasks: Tasks, refused: set[str], guard: Guard) -> None:
        self._files = files
        self._tasks = tasks
        self._refused = refused
        self._guard = guard

    def handlers(self) -> dict[str, Callable[[Task, tuple[int, ...]], Reply]]:
        """Return the handlers by the names of the calls."""
        return {
            "open": lambda task, args: self._open(task, _CWD, args[0], args[1], args[2]),
            "creat": lambda task, args: self._open(task, _CWD, args[0], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, args[1]),
            "openat": lambda task, args: self._open(task, args[0], args[1], args[2], args[3]),
            "openat2": self._openat2,
            "truncate": self._truncate,
            "unlink": lambda task, args: self._unlink(task, _CWD, args[0], 0),
            "unlinkat": lambda task, args: self._unlink(task, args[0], args[1], args[2]),
            "rename": lambda task, args: self._rename(task, (_CWD, args[0]), (_CWD, args[1]), 0),
            "renameat": lambda task, args: self._rename(task, (args[0], args[1]), (args[2], args[3]), 0),
            "renameat2": lambda task, args: self._rename(task, (args[0], args[1]), (args[2], args[3]), args[4]),
            "link": lambda task, args: self._made(task, "link", _CWD, args[1]),
            "linkat": lambda task, args: self._made(task, "link", args[2], args[3]),
            "symlink": lambda task, args: self._made(task, "symlink", _CWD, args[1]),
            "symlinkat": lambda task, args: self._made(task, "symlink", args[1], args[2]),
            "mkdir": lambda task, args: self._new(self._named(task, _CWD, args[0]).full),
            "mkdirat": lambda task, args: self._new(self._named(task, args[0], args[1]).full),
            "rmdir": lambda task, args: self._unlink(task, _CWD, args[0], _REMOVE_DIRECTORY),
            "mknod": lambda task, args: self._mknod(task, _CWD, args[0], args[1]),
            "mknodat": lambda task, args: self._mknod(task, args[0], args[1], args[2]),
        }

    def _named(self, task: Task, directory: int, address: int) -> _Named:
        full = self._tasks.path(task, directory, address)
        name = self._files.names.relative(full) if full else None
        if name is None:
            return _Named(full, None, None)
        try:
            return _Named(full, name, os.lstat(full))
        except OSError:
            return _Named(full, name, None)

    def _open(self, task: Task, directory: int, address: int, flags: int, mode: int) -> Reply:
        flags &= 0xFFFFFFFF
        if flags & os.O_TMPFILE == os.O_TMPFILE or flags & os.O_PATH:
            return CONTINUE  # a file without a name; giving it one is noticed
        found = self._named(task, directory, address)
        if found.name is None:
            self._look_through(task, found.full, flags)
            return self._opened_outside(found.full, flags)
        if flags & os.O_DIRECTORY:
            return CONTINUE
        if found.status is not None and not found.regular:
            if not stat.S_ISLNK(found.status.st_mode):
                return CONTINUE
            reply = self._opened_outside(found.full, flags)
            if reply is CONTINUE and flags & _MAKE_OR_CUT:
                self._files.problem(f"{found.name!r} is a symbolic link and was opened to create or truncate")
            return reply
        mode &= 0o7777 & ~self._tasks.umask(task.process)
        descriptor = self._files.open(found.full, found.name, flags | os.O_CLOEXEC | os.O_NOCTTY, mode)
        return Give(descriptor, bool(flags & os.O_CLOEXEC))

    def _opened_outside(self, full: str, flags: int) -> Reply:
        """Judge an open for writing; one that can only fail goes on."""
        if not full or (not flags & os.O_CREAT and not os.path.exists(full)) or flags & os.O_DIRECTORY:
            return CONTINUE
        return self._guard.judge(full, "opened for writing", follow=not flags & os.O_NOFOLLOW)

    def _look_through(self, task: Task, full: str, flags: int) -> None:
        """Notice a file of ours that is truncated or made through a link from elsewhere, `/dev/stdout` for one."""
        if not flags & _MAKE_OR_CUT or flags & os.O_NOFOLLOW:
            return
        for _ in range(_LINKS_MAX):
            for own in ("/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"):
                if full.startswith(own):
                    full = f"/proc/{task.thread}/fd/{full[len(own) :]}"
            try:
                target = os.readlink(full)  # noqa: PTH115 - it may be no path
            except OSError:
                break
            full = os.path.join(os.path.dirname(full), target)
        else:
            return
        name = self._files.names.relative(full)
        if name is not None and (flags & os.O_TRUNC or not os.path.lexists(full)):
            self._files.problem(f"{name!r} was opened to create or truncate through a link")

    def _openat2(self, task: Task, args: tuple[int, ...]) -> Reply:
        (flags,) = struct.unpack("<Q", self._tasks.memory.read(task.thread, args[2], 8).ljust(8, b"\0"))
        found = self._named(task, args[0], args[1])
        if not flags & CHANGING_FLAGS:
            return CONTINUE
        if found.name is None:
            return self._opened_outside(found.full, flags)
        self._refused.add("openat2 for writing")
        return -errno.ENOSYS

    def _truncate(self, task: Task, args: tuple[int, ...]) -> Reply:
        found = self._named(task, _CWD, args[0])
        if args[1] >= 1 << 63:
            return CONTINUE
        if found.name is None:
            return self._there(found.full, "truncated", follow=True)
        if not found.regular:
            if (reply := self._there(found.full, "truncated", follow=True)) is not CONTINUE:
                return reply
            if found.status is not None:
                self._files.problem(f"{found.name!r} is no regular file and was truncated by name")
            return CONTINUE
        descriptor = os.open(found.full, os.O_WRONLY | os.O_CLOEXEC)
        try:
            file = self._files.find(descriptor)
            if file is None:
                return CONTINUE
            self._files.truncate(file, args[1], lambda: os.ftruncate(descriptor, args[1]))
        finally:
            os.close(descriptor)
        return 0

    def _unlink(self, task: Task, directory: int, address: int, flags: int) -> Reply:
        found = self._named(task, directory, address)
        if found.name is None:
            return self._there(found.full, "removed")
        if flags & _REMOVE_DIRECTORY or found.status is None or not found.regular:
            return CONTINUE
        self._files.delete(found.full, found.name, found.status, lambda: os.unlink(found.full))
        return 0

    def _rename(self, task: Task, old: tuple[int, int], new: tuple[int, int], flags: int) -> Reply:
        first, second = self._named(task, *old), self._named(task, *new)
        if first.full and os.path.lexists(first.full):
            for side, what in ((first, "renamed"), (second, "made")):
                if side.name is None and (reply := self._outside(side.full, what)) is not CONTINUE:
                    return reply
        if first.name is None:
            if second.name is not None:
                self._files.problem(f"{first.full!r} was moved into the run's directory as {second.name!r}")
            return CONTINUE
        if first.status is None:
            return CONTINUE
        if not first.regular:
            if stat.S_ISDIR(first.status.st_mode) and any(names for _, _, names in os.walk(first.full)):
                self._files.problem(f"the directory {first.name!r} was renamed with files in it")
            return CONTINUE
        flags &= 0xFFFFFFFF
        if flags & ~_RENAME_NO_REPLACE:
            self._refused.add(f"renameat2 with flags {flags:#x}")
            return -errno.EINVAL
        if flags and os.path.lexists(second.full):
            return -errno.EEXIST
        return self._renamed(first, first.name, second, first.status)

    def _renamed(self, first: _Named, old: str, second: _Named, status: os.stat_result) -> Reply:
        def do() -> None:
            os.rename(first.full, second.full)  # noqa: PTH104 - it may not be normalised

        if second.name is None:
            self._files.delete(first.full, old, status, do)
        elif second.status is not None and os.path.samestat(second.status, status):
            return CONTINUE  # two names of one file: nothing happens
        else:
            self._files.rename(old, second.name, status, second.status, do)
        return 0

    def _made(self, task: Task, what: str, directory: int, address: int) -> Reply:
        found = self._named(task, directory, address)
        if found.name is None:
            return self._new(found.full)
        self._files.problem(f"{what} made {found.name!r}; links are not recorded")
        return CONTINUE

    def _mknod(self, task: Task, directory: int, address: int, mode: int) -> Reply:
        found = self._named(task, directory, address)
        if found.name is None:
            return self._new(found.full)
        if stat.S_IFMT(mode) in (0, stat.S_IFREG):
            self._files.problem(f"mknod made {found.name!r}; that is not recorded")
        return CONTINUE

    def _new(self, full: str) -> Reply:
        """Judge the making of a name; where there is something already it can only fail."""
        return CONTINUE if not full or os.path.lexists(full) else self._guard.judge(full, "made", follow=False)

    def _there(self, full: str, what: str, *, follow: bool = False) -> Reply:
        """Judge a change of what must be there already."""
        return self._guard.judge(full, what, follow=follow) if full and os.path.lexists(full) else CONTINUE

    def _outside(self, full: str, what: str) -> Reply:
        return self._guard.judge(full, what, follow=False) if full else CONTINUE
