"""The threads and processes of the recorded tree, as far as calls of theirs have come by."""

import os
from typing import NamedTuple

from crashlab.writers.record.seccomp.kernel import Memory, take_descriptor

__all__ = ["Task", "Tasks"]

_AT_CWD = -100


class Task(NamedTuple):
    """One thread: its process, and a descriptor that stands for that process."""

    thread: int
    process: int
    pidfd: int


class Tasks:
    """Looks threads up once and forgets them when they exit."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._tasks: dict[int, Task] = {}
        self._umasks: dict[int, int] = {}
        self.processes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def find(self, thread: int) -> Task:
        """Return a thread's task.

        Raises:
            OSError: it has ended.
        """
        found = self._tasks.get(thread)
        if found is None:
            with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as status:
                fields = dict(line.split(":", 1) for line in status if line.startswith(("Tgid:", "Umask:")))
            process = int(fields["Tgid"])
            if process not in self._umasks:
                self.processes += 1
                self._umasks[process] = int(fields.get("Umask", "022"), 8)
            found = self._tasks[thread] = Task(thread, process, os.pidfd_open(process))
        return found

    def take(self, task: Task, descriptor: int) -> int:
        """Return a descriptor of ours for the open file that a task calls `descriptor`; see `take_descriptor`."""
        return take_descriptor(task.pidfd, descriptor & 0xFFFFFFFF)

    def umask(self, process: int) -> int:
        """Return a process's file mode creation mask."""
        return self._umasks[process]

    def set_umask(self, process: int, mask: int) -> None:
        """Note that a process sets its mask."""
        self._umasks[process] = mask & 0o777

    def path(self, task: Task, directory: int, address: int) -> str:
        """Return the path at an address, absolute; a relative one starts at the descriptor `directory`."""
        text = os.fsdecode(self.memory.text(task.thread, address))
        if not text or text.startswith("/"):
            return text
        number = (directory & 0xFFFFFFFF) - (1 << 32 if directory & 0x80000000 else 0)
        link = "cwd" if number == _AT_CWD else f"fd/{number}"
        return os.path.join(os.readlink(f"/proc/{task.thread}/{link}"), text)  # noqa: PTH115 - it may be no path

    def forget(self, thread: int) -> bool:
        """Drop a thread that is about to end; the system may give its number to another one.

        Return whether no other thread of its process is known.
        """
        found = self._tasks.pop(thread, None)
        if found is None:
            return False
        os.close(found.pidfd)
        if any(task.process == found.process for task in self._tasks.values()):
            return False
        self._umasks.pop(found.process, None)
        return True

    def close(self) -> None:
        """Release all descriptors."""
        for thread in tuple(self._tasks):
            self.forget(thread)
