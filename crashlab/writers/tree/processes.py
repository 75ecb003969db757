"""What descends from this process, and ending it to the last process (Linux).

A process whose parent ends is adopted by the nearest ancestor that asked for it (prctl(2),
PR_SET_CHILD_SUBREAPER): a session of its own and an emptied environment change nothing. So when this process has no
children left to wait for, nothing of the tree lives.
"""

import contextlib
import ctypes
import os
import signal
import time

from crashlab.errors import LabError

__all__ = ["adopt_orphans", "descendants", "end_all", "reap"]

_CHILD_SUBREAPER = 36
END_S = 10.0
PAUSE_S = 0.0005
STOP_FIRST = 50
"""A larger tree is stopped before it is killed, so that it does not grow meanwhile."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    if ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise LabError("the kernel refuses PR_SET_CHILD_SUBREAPER")


def descendants(root: int | None = None) -> list[int]:
    """Return the process numbers below `root` (default: this process), also of what ended and was not waited for."""
    found: list[int] = []
    queue = [os.getpid() if root is None else root]
    while queue:
        children = _children(queue.pop())
        found += children
        queue += children
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def running(pids: list[int]) -> list[int]:
    """Return those that have not ended."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                found.append(pid)
    return found


def reap(statuses: dict[int, int]) -> bool:
    """Wait for every child that has ended, into `statuses`: exit code, or -n for signal n. Return whether any lives."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not pid:
            return True
        statuses[pid] = os.waitstatus_to_exitcode(status)


def send(pids: list[int], number: int) -> None:
    """Send a signal to processes; who has ended meanwhile is passed over."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_all(statuses: dict[int, int], leader: int = 0) -> None:
    """Kill every descendant of this process, the group of `leader` first and at once; wait for all of them.

    Raises:
        LabError: something cannot be killed; it waits in the kernel.
    """
    if leader and leader not in statuses:
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)
    deadline = time.monotonic() + END_S
    while True:
        found = descendants()
        if len(found) > STOP_FIRST:
            send(found, signal.SIGSTOP)
        send(found, signal.SIGKILL)
        if not reap(statuses):
            return
        if time.monotonic() > deadline:
            raise LabError(f"processes {descendants()[:5]} of the program cannot be killed; they wait in the kernel")
        time.sleep(PAUSE_S)
