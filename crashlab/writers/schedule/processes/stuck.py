"""Where an actor is that does not come back: what the kernel says of its process, and the line of Python it is at."""

import contextlib
import faulthandler
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["StackFile", "Stuck", "look"]

_WAIT_S = 0.3
_POLL_S = 0.005
_LOOKS = 5
_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')
_PACKAGE = Path(__file__).resolve().parents[3]
_OURS = tuple(os.path.join(_PACKAGE, part, "") for part in ("writers", "sqlite"))


class Stuck(NamedTuple):
    """`how`: `spins` or `waits`. `where`: the innermost line that is not the lab's, "" where it cannot be told."""

    how: str
    where: str


class StackFile:
    """A file into which a process writes its Python stack when it is told to; made before the fork."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("crashlab-stack")
        else:
            import tempfile

            self.descriptor, path = tempfile.mkstemp()
            os.unlink(path)

    def listen(self) -> None:
        """In the actor: answer from now on, whatever runs."""
        if hasattr(faulthandler, "register"):
            faulthandler.register(signal.SIGUSR2, self.descriptor, all_threads=False)

    def ask(self, pid: int) -> str:
        """Return the process's innermost line that is not the lab's own, "" for none."""
        if not hasattr(faulthandler, "register"):
            return ""
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            os.kill(pid, signal.SIGUSR2)
            until = time.monotonic() + _WAIT_S
            while time.monotonic() < until and not os.fstat(self.descriptor).st_size:
                time.sleep(_POLL_S)
            time.sleep(_POLL_S)
            text = os.pread(self.descriptor, 1 << 16, 0).decode("utf-8", "replace")
            for path, line, name in _FRAME.findall(text):
                if not path.startswith(_OURS):
                    return f"{Path(path).name}:{line} in {name}"
        return ""

    def close(self) -> None:
        """Release it."""
        os.close(self.descriptor)


def look(pid: int, stack: StackFile) -> Stuck:
    """Say how a process that has the token and does not hand it on spends its time, and where."""
    where = stack.ask(pid)
    if not sys.platform.startswith("linux"):
        return Stuck("waits", where)
    running = 0
    for _ in range(_LOOKS):
        with contextlib.suppress(OSError):
            running += Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "R"
        time.sleep(_POLL_S)
    return Stuck("spins" if 2 * running > _LOOKS else "waits", where)
