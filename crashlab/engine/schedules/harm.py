"""What no use of SQLite alone can do to the files that it has open, looked at after each step.

    schedule/lost-locks       the process has a wal-index mapped, and the kernel no longer has the lock that says so, or
                              that on the main file: a close of the file by anybody in the process dropped them all
                              (https://sqlite.org/howtocorrupt.html, section 2.2). The next to close elsewhere believes
                              itself the last one, and deletes the WAL
    schedule/wal-generations  an open main file, WAL or wal-index is not what its name means any more: whoever opens the
                              database now gets another one, and two generations of the WAL are written at once
                              (same page, sections 2.4 and 4)

Neither needs a row to be lost: they are seen before that, and in one process alone. Locks are looked up in /proc/locks.
"""

import os
from collections.abc import Iterator

from crashlab.sqlite.lock_rows import lock_rows, shows_own_locks
from crashlab.writers.schedule.handles import Handles

__all__ = ["LOST_LOCKS", "WAL_GENERATIONS", "Harm"]

LOST_LOCKS = "lost-locks"
WAL_GENERATIONS = "wal-generations"

# os_unix.c: UNIX_SHM_DMS, the "dead man's switch", and SHARED_FIRST with SHARED_SIZE.
_SHM_DMS = 128
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


class Harm:
    """Looks at the files of this process's open handles; tells each kind of harm once, until `forget`."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._shown: bool | None = None
        self._told: set[str] = set()

    def forget(self) -> None:
        """A new run begins: whatever was open has been closed, or is of no interest any more."""
        self._told.clear()
        self._handles.files.clear()

    def look(self) -> Iterator[tuple[str, str]]:
        """Yield (invariant, what is wrong) of what was not told yet."""
        if not self._handles.files or len(self._told) == 2:
            return
        for invariant, ask in ((WAL_GENERATIONS, self._moved), (LOST_LOCKS, self._unlocked)):
            wrong = "" if invariant in self._told else ask()
            if wrong:
                self._told.add(invariant)
                yield invariant, wrong

    def _moved(self) -> str:
        for named in sorted({*self._handles.files.values()}):
            name = os.path.basename(named.path)
            try:
                status = os.stat(named.path)
            except OSError:
                return f"{name} is open here and has no name any more: whoever opens the database makes another one"
            if (status.st_dev, status.st_ino) != (named.device, named.inode):
                return f"{name} is open here, and another file has its name: two generations of the WAL are in use"
        return ""

    def _unlocked(self) -> str:
        files = self._handles.files
        indexes = {handle for handle, suffix in files if suffix == "-shm"}
        if not indexes or not self._can_see():
            return ""
        mine = [row for row in lock_rows() if row.pid == os.getpid()]
        for handle in sorted(indexes):
            for suffix, first, size in (("-shm", _SHM_DMS, 1), ("", _SHARED_FIRST, _SHARED_SIZE)):
                named = files[handle, suffix]
                last = first + size - 1
                if not any(row.inode == named.inode and row.first <= first and last <= row.last for row in mine):
                    name = os.path.basename(named.path)
                    return f"SQLite's lock on {name} is gone: something else in this process closed the file"
        return ""

    def _can_see(self) -> bool:
        if self._shown is None:
            self._shown = shows_own_locks()
        return self._shown
