"""Stopping another process of the trial where it stands, and letting it go on: SIGSTOP and SIGCONT.

In a schedule of processes nothing is stopped here: there each of them stands still wherever the schedule likes.
"""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from crashlab.model.workload import Context
from crashlab.sqlite.lock_rows import lock_rows

_TRIES: Final = 100
_RUN_S_MAX: Final = 0.05
_STOPPED_S_MAX: Final = 1.0
_POLL_S: Final = 0.0002


def tell_pid(ctx: Context) -> None:
    """Let the others know which process this is."""
    _pid_file(ctx, ctx.process).write_text(str(os.getpid()), encoding="ascii")


class Pause:
    """Stops one process outside its transactions: with the write lock in its hand nobody else could write."""

    def __init__(self, ctx: Context, process: int) -> None:
        self._ctx = ctx
        self._scheduled = bool(getattr(ctx, "scheduled", False))
        self._pid = int(_pid_file(ctx, process).read_text(encoding="ascii"))

    def begin(self, after_s: float) -> None:
        """Stop the process `after_s` from now, in real time.

        Raises:
            TimeoutError: it was never met without the write lock.
        """
        if self._scheduled:
            return
        time.sleep(after_s)
        run_s = _POLL_S
        for _ in range(_TRIES):
            os.kill(self._pid, signal.SIGSTOP)
            self._wait_until_stopped()
            if self._lock_is_free():
                return
            self.end()
            time.sleep(run_s)
            run_s = min(2 * run_s, _RUN_S_MAX)  # on a busy machine it is not even scheduled in less, and keeps its lock
        raise TimeoutError(f"process {self._pid} was stopped {_TRIES} times and held the write lock each time")

    def end(self) -> None:
        """Let it go on."""
        if self._scheduled:
            return
        os.kill(self._pid, signal.SIGCONT)

    def _wait_until_stopped(self) -> None:
        stat = Path(f"/proc/{self._pid}/stat")
        until = time.monotonic() + _STOPPED_S_MAX
        while time.monotonic() < until:
            try:
                state = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            except FileNotFoundError:  # no /proc here, or the process is gone
                time.sleep(_POLL_S)
                return
            if state in "TtZX":
                return
            time.sleep(_POLL_S)

    def _lock_is_free(self) -> bool:
        # Asking SQLite for the lock would not do: whoever meets a wal-index whose header is half written, because its
        # writer was stopped there, retries for ten seconds before SQLITE_PROTOCOL (walTryBeginRead in wal.c).
        try:
            os.stat("/proc/locks")
            shm = os.stat(f"{self._ctx.database}-shm").st_ino
        except FileNotFoundError:
            return self._can_begin()
        return not any((row.kind, row.pid, row.inode) == ("WRITE", self._pid, shm) for row in lock_rows())

    def _can_begin(self) -> bool:
        # Not the lab's connect: this is no work of the program's.
        with closing(sqlite3.connect(self._ctx.database, isolation_level=None, timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return False
            return True


def _pid_file(ctx: Context, process: int) -> Path:
    return ctx.directory / f"pid.{process}"
