"""The owner's side of a keeper: one process, one run at a time, a deadline on each."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import psutil

from crashlab.engine.program.kills.orders import Judged, KeeperOrder, KeeperSays
from crashlab.errors import LabError, UsageError
from crashlab.writers.frames import read_frame, send_frame

__all__ = ["KeeperClient"]

SLACK_S = 120.0
"""What judging may take on top of what the runs may."""


class KeeperClient:
    """A keeper, and `root`, the directory below which it and its programs write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self._process = self._start()
        self._overdue = False

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "crashlab.engine.program.kills.keeper", str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, order: KeeperOrder) -> Judged:
        """Run one order.

        Raises:
            UsageError: the command cannot be started.
            LabError: the keeper failed, or took too long.
        """
        if self._process.poll() is not None:
            self.close()
            self._process = self._start()
        self._overdue = False
        timer = threading.Timer(2 * order.limits.seconds + order.grace_s + SLACK_S, self._give_up)
        timer.daemon = True
        timer.start()
        stage = "start"
        try:
            send_frame(_stream(self._process.stdin), order)
            while (says := read_frame(_stream(self._process.stdout), KeeperSays)) is not None:
                if says.stage == "done":
                    if says.judged is not None:
                        return says.judged
                    raise (UsageError if says.usage else LabError)(says.error)
                stage = says.stage
        except OSError:
            pass  # it died or was ended: told by its stage
        finally:
            timer.cancel()
        self.close()
        how = "took too long" if self._overdue else f"died with code {self._process.returncode}"
        raise LabError(f"the keeper of the program {how} at stage {stage!r}")

    def _give_up(self) -> None:
        self._overdue = True
        self._process.kill()

    def close(self) -> None:
        """End the keeper, and through it whatever it runs; if it cannot any more, what works below its root."""
        stopping = self._process.stdin
        if stopping is not None:
            with contextlib.suppress(OSError):
                stopping.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode:
            self._end_the_rest()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _end_the_rest(self) -> None:
        below = os.path.join(os.path.realpath(self.root), "")
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                told = process.environ().get("TMPDIR", "")
                if told.startswith(below) or process.cwd().startswith(below):
                    process.send_signal(signal.SIGKILL)


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise LabError("the keeper has no pipes")
    return stream
