"""The owner's side of one recording: the recorder's process, its report, the program's output."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import IO

import msgspec

from crashlab.errors import LabError
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.record.seccomp.order import Report, TreeOrder, TreeStarted

__all__ = ["run_order"]

OUTPUT_BYTES_MAX = 64 << 10
"""So much of the end of each output is kept."""

RECORDER = ("-m", "crashlab.writers.record.seccomp.child")

_SPARE_S = 30.0


def run_order(order: TreeOrder) -> tuple[Report, list[bytes]]:
    """Have an order carried out; return the report and the ends of standard output and standard error.

    Raises:
        LabError: the recorder itself failed.
    """
    outputs = [os.pipe() for _ in range(2)]
    try:
        order = msgspec.structs.replace(order, owner=os.getpid(), out=outputs[0][1], err=outputs[1][1])
        return _run(order, outputs)
    finally:
        for number in (outputs[0][0], outputs[1][0]):
            os.close(number)


def _run(order: TreeOrder, outputs: list[tuple[int, int]]) -> tuple[Report, list[bytes]]:
    try:
        child = _spawn(order)
    finally:
        for number in (order.out, order.err):
            os.close(number)
    tails = [_Tail(outputs[0][0]), _Tail(outputs[1][0]), _Tail(_stream(child.stderr).fileno())]
    session = 0
    watchdog = threading.Timer(order.seconds_max + _SPARE_S, child.kill)
    watchdog.daemon = True
    try:
        watchdog.start()
        with contextlib.suppress(BrokenPipeError):
            send_frame(_stream(child.stdin), order)
        started = read_frame(_stream(child.stdout), TreeStarted)
        session = started.pid if started is not None else 0
        report = read_frame(_stream(child.stdout), Report)
    finally:
        watchdog.cancel()
        _end(child, session)
        seen = [tail.end() for tail in tails]
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    if report is None or report.problem:
        said = seen[2].decode(errors="replace").strip().splitlines()
        last = said[-1] if said else f"it ended with {child.returncode} and said nothing"
        raise LabError(f"recording {order.argv[0]!r}: the recorder failed: {report.problem if report else last}")
    return report, seen


def _spawn(order: TreeOrder) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, *RECORDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[order.out, order.err],
    )


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise LabError("the recorder's process has no pipe")
    return stream


def _end(child: "subprocess.Popen[bytes]", session: int) -> None:
    """End the recorder, and what is left of the program if it could not do that itself."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_SPARE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.returncode and session:
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                with contextlib.suppress(OSError):
                    if os.getsid(int(entry)) == session:
                        os.kill(int(entry), signal.SIGKILL)


class _Tail:
    """Reads an output to its end in a thread and keeps the last bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._descriptor, OUTPUT_BYTES_MAX):
                self._kept = (self._kept + data)[-OUTPUT_BYTES_MAX:]

    def end(self) -> bytes:
        self._thread.join(5)
        if not self._thread.is_alive():
            os.close(self._descriptor)
        return self._kept
