"""What is done about each call that stops: what changes the run's files is done here, by the lab, and recorded.

Doing the call ourselves, on the caller's own open file, has the result at hand, writes the very bytes that are
recorded, and makes the order of the log that of the disk. Whatever is not about the run's directory goes
on as it is.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from crashlab.writers.record.seccomp.bytes_calls import BytesCalls
from crashlab.writers.record.seccomp.files import Files
from crashlab.writers.record.seccomp.guard import Guard
from crashlab.writers.record.seccomp.name_calls import NameCalls
from crashlab.writers.record.seccomp.numbers import Machine
from crashlab.writers.record.seccomp.quick import Quick
from crashlab.writers.record.seccomp.reply import CONTINUE, Reply
from crashlab.writers.record.seccomp.tasks import Task, Tasks

if TYPE_CHECKING:
    from crashlab.writers.record.seccomp.acks import Acks

__all__ = ["Answers"]

Handler: TypeAlias = "Callable[[Task, tuple[int, ...]], Reply]"

_NEW_MOUNTS, _OWN_DESCRIPTORS = 0x00020000, 0x00000400
_PROT_WRITE = 2
_UNCHANGED = 0xFFFFFFFF


class Answers:
    """The handlers, by call number. Each takes the task and the arguments, and returns the reply."""

    def __init__(
        self, machine: Machine, files: Files, tasks: Tasks, guard: Guard, quick: Quick, acks: "Acks | None" = None
    ) -> None:
        self._files = files
        self._tasks = tasks
        self._quick = quick
        self._readable_maps = False
        self.refused: set[str] = set()
        bytes_calls = BytesCalls(files, tasks, self.refused, quick, acks)
        name_calls = NameCalls(files, tasks, self.refused, guard)
        by_name = {**bytes_calls.handlers(), **name_calls.handlers(), **self._own_handlers()}
        self.by_number: dict[int, tuple[str, Handler]] = {
            number: (name, by_name[name]) for name, number in machine.numbers.items() if name in by_name
        }

    def _own_handlers(self) -> dict[str, Handler]:
        made: dict[str, Handler] = {
            "mmap": self._mmap,
            "mprotect": self._mprotect,
            "pkey_mprotect": self._mprotect,
            "umask": self._umask,
            "execve": self._execed,
            "execveat": self._execed,
            "fcntl": self._fcntl,
            "flock": self._lock,
            "exit": self._exit,
            "exit_group": self._exit,
            "unshare": self._unshare,
            "io_uring_setup": self._refuse("io_uring", errno.EPERM),
            "io_setup": self._refuse("io_setup (asynchronous I/O of the kernel)", errno.ENOSYS),
            "open_by_handle_at": self._refuse("open_by_handle_at", errno.EOPNOTSUPP),
        }
        made.update((name, self._moved(name)) for name in ("chroot", "pivot_root", "mount", "setns", "clone"))
        made.update((name, self._user(name)) for name in ("setuid", "setreuid", "setresuid", "setfsuid"))
        return made

    def _refuse(self, what: str, number: int) -> Handler:
        """Answer as a kernel without it does."""

        def handler(_task: Task, _args: tuple[int, ...]) -> Reply:
            self.refused.add(what)
            return -number

        return handler

    def _moved(self, name: str) -> Handler:
        def handler(_task: Task, _args: tuple[int, ...]) -> Reply:
            self._files.problem(f"{name}: the program changed what its paths mean")
            return CONTINUE

        return handler

    def _user(self, name: str) -> Handler:
        def handler(_task: Task, args: tuple[int, ...]) -> Reply:
            given = args[: {"setreuid": 2, "setresuid": 3}.get(name, 1)]
            if any(user & _UNCHANGED not in (os.getuid(), _UNCHANGED) for user in given):
                self._files.problem(
                    f"{name}: the program changed its user; what it may do is no longer what the lab may"
                )
            return CONTINUE

        return handler

    def _unshare(self, _task: Task, args: tuple[int, ...]) -> Reply:
        if args[0] & (_NEW_MOUNTS | _OWN_DESCRIPTORS):
            self._files.problem("unshare: the program changed what its paths or descriptors mean")
        return CONTINUE

    def _umask(self, task: Task, args: tuple[int, ...]) -> Reply:
        self._tasks.set_umask(task.process, args[0])
        return CONTINUE

    def _execed(self, task: Task, _args: tuple[int, ...]) -> Reply:
        self._quick.forget(task.process)
        return CONTINUE

    def _fcntl(self, task: Task, args: tuple[int, ...]) -> Reply:
        if args[1] & 0xFFFFFFFF == fcntl.F_SETFL and not args[2] & os.O_APPEND:
            return CONTINUE
        return self._lock(task, args)

    def _lock(self, task: Task, args: tuple[int, ...]) -> Reply:
        """A lock of the open file itself ends with the last descriptor for it: we must have none."""
        descriptor = self._tasks.take(task, args[0])
        try:
            self._quick.bar(descriptor)
        finally:
            os.close(descriptor)
        return CONTINUE

    def _exit(self, task: Task, _args: tuple[int, ...]) -> Reply:
        if self._tasks.forget(task.thread):
            self._quick.forget(task.process)
        return CONTINUE

    def _mmap(self, task: Task, args: tuple[int, ...]) -> Reply:
        """A shared map of a file: written through it, the file changes unseen."""
        descriptor = self._tasks.take(task, args[4])
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return CONTINUE
            name = self._files.name_behind(descriptor)
            if name is not None:
                if args[2] & _PROT_WRITE:
                    self._files.problem(f"{name!r} was mapped into memory for writing")
                elif fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
                    self._readable_maps = True
        finally:
            os.close(descriptor)
        return CONTINUE

    def _mprotect(self, task: Task, args: tuple[int, ...]) -> Reply:
        if self._readable_maps:
            low, high = args[0], args[0] + args[1]
            with open(f"/proc/{task.thread}/maps", encoding="utf-8", errors="surrogateescape") as maps:
                for line in maps:
                    fields = line.split(maxsplit=5)
                    begin, end = (int(word, 16) for word in fields[0].split("-"))
                    if begin < high and low < end and "s" in fields[1] and len(fields) == 6:
                        name = self._files.names.relative(fields[5].rstrip("\n"))
                        if name is not None:
                            self._files.problem(f"a map of {name!r} was made writable")
        return CONTINUE
