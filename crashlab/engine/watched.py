"""A Python process of the lab's own that is talked to in frames, with a deadline on each answer."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

from crashlab.errors import LabError

__all__ = ["WatchedProcess"]


class WatchedProcess:
    """`python -m MODULE`, leader of a session of its own where there are sessions.

    `overdue`: a deadline has passed, and the process was killed for it.
    """

    def __init__(self, module: str) -> None:
        self.overdue = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def stdin(self) -> IO[bytes]:
        """Where frames are sent."""
        return _stream(self.process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """Where frames come from."""
        return _stream(self.process.stdout)

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Kill the process if the block takes longer."""
        timer = threading.Timer(seconds, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self.overdue = True
        self.kill()

    def kill(self) -> None:
        """Kill it and, where it leads a session of its own, whatever it has started."""
        if self.process.returncode is None:  # not reaped yet, so the number is still its own
            self.kill_group()
        self.process.kill()

    def kill_group(self) -> None:
        """Kill what is in its group; it may itself have been reaped a moment ago."""
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, whatever it is doing."""
        self.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise LabError("a process of the lab has no pipe")
    return stream
