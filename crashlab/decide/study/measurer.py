"""Measurers: processes that measure recordings, told on standard input; kept warm, and ended with their owner.

Apart from the speed, a process of its own is needed because measuring imports the user's module, which may print,
and opens files that a crash left.
"""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import traceback
from typing import IO

import msgspec

from crashlab.decide.study.measure import MeasureTask, measure
from crashlab.decide.study.results import CellResult
from crashlab.engine.owner import die_with_owner
from crashlab.errors import CrashlabError, LabError
from crashlab.writers.frames import read_frame, send_frame

__all__ = ["Measurers"]

MEASURE_S_MAX = 300.0


class _Measured(msgspec.Struct):
    result: CellResult | None = None
    error: str = ""


class Measurers:
    """As many processes as are used at once, made when first needed; safe to use from several threads."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[_Measurer] = queue.SimpleQueue()
        self._all: list[_Measurer] = []

    def __enter__(self) -> "Measurers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def measure(self, task: MeasureTask) -> CellResult:
        """Measure a recording.

        Raises:
            LabError: it could not be measured, or took longer than `MEASURE_S_MAX`.
        """
        try:
            measurer = self._idle.get_nowait()
        except queue.Empty:
            measurer = _Measurer()
            self._all.append(measurer)
        try:
            said = measurer.ask(task)
        except BaseException:
            measurer.close()
            raise
        self._idle.put(measurer)
        if said.result is None:
            raise LabError(said.error)
        return said.result

    def close(self) -> None:
        """End them all; one in use is not waited for."""
        for measurer in self._all:
            measurer.close()


class _Measurer:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crashlab.decide.study.measurer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal reaches the owner alone
        )

    def ask(self, task: MeasureTask) -> _Measured:
        timer = threading.Timer(MEASURE_S_MAX, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            send_frame(_there(self._process.stdin), task)
            said = read_frame(_there(self._process.stdout), _Measured)
        except OSError as error:
            raise LabError(f"a measurer ended: {error}") from error
        finally:
            timer.cancel()
        if said is None:
            raise LabError(f"a measurer ended, or took over {MEASURE_S_MAX:g} s: {task.planned.cell}")
        return said

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                _there(stream).close()


def _there(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise LabError("a measurer has no pipe")
    return stream


def main() -> int:
    """Measure until standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    die_with_owner()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # what the program prints at its import is not ours
    while (task := read_frame(sys.stdin.buffer, MeasureTask)) is not None:
        try:
            said = _Measured(measure(task))
        except (CrashlabError, OSError) as error:
            said = _Measured(error=str(error))
        except Exception:
            said = _Measured(error=f"a defect of crashlab: {traceback.format_exc(limit=-4)}")
        send_frame(out, said)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        sys.exit(main())
