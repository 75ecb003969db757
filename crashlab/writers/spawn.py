"""Writers spawned anew for each run: where there is no sound fork (macOS, Windows)."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from typing import IO

import msgspec
import psutil

from crashlab.errors import LabError, SubjectError, UsageError
from crashlab.model.history import Ended, EndKind
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.order import Action, Order

START_S = 60.0
SILENCE_S = 0.2
_KILLED = 9
_WINDOWS_TERMINATED = 15
"""`os.kill(pid, SIGTERM)` on Windows is TerminateProcess with this exit code."""


class Task(msgspec.Struct):
    """What a spawned process is told on its standard input."""

    workload: str
    path: tuple[str, ...]
    order: Order
    process: int


class Started(msgspec.Struct):
    """The child's first answer: which processes the workload's lanes ask for, or why it can't start."""

    processes: tuple[int, ...] = ()
    error: str = ""


class SpawnLauncher:
    """Starts `python -m crashlab.writers.spawn_child` for each process of each run; see `Launcher`.

    A delayed kill comes from outside (`SIGKILL` or `TerminateProcess`), so it is less sharp than the
    zygote's timer; a hang-up needs a pseudo-terminal and is refused by name where there is none.
    """

    def __init__(self, workload: str, path: tuple[str, ...] = ()) -> None:
        self._workload = workload
        self._path = path

    def launch(self, order: Order) -> Ended:
        """Run one order; see `Launcher`."""
        if order.hangup is not None:
            raise UsageError(
                f"hang-up is not supported on {sys.platform}: it needs a forked writer on a pseudo-terminal; "
                "use a kill fault instead"
            )
        children: list[subprocess.Popen[bytes]] = []
        start_ns = time.monotonic_ns()
        try:
            first = self._spawn(order, 0)
            children.append(first)
            watchdog = threading.Timer(order.deadline_s + START_S, first.kill)
            watchdog.start()
            try:
                return self._run(order, first, children, start_ns)
            finally:
                watchdog.cancel()
        finally:
            for child in children:
                _end(child)

    def _run(
        self,
        order: Order,
        first: "subprocess.Popen[bytes]",
        children: list["subprocess.Popen[bytes]"],
        start_ns: int,
    ) -> Ended:
        started = read_frame(_out(first), Started)
        if started is None or started.error:
            raise SubjectError(started.error if started else f"workload {self._workload!r}: did not start")
        children.extend(self._spawn(order, process) for process in started.processes if process)
        killed = threading.Event()
        silent = threading.Event()

        def kill_when_told() -> None:
            if _out(first).read(1) == b"!" and order.trigger is not None and order.trigger.action is Action.KILL:
                time.sleep(order.trigger.delay_us / 1e6)
                if first.poll() is None:
                    killed.set()
                    first.kill()
            _out(first).read()  # to the end, which comes with the process's own
            silent.set()

        watcher = threading.Thread(target=kill_when_told, daemon=True)
        watcher.start()
        overdue = False
        until = time.monotonic() + order.deadline_s
        # Waiting for the end of its output wakes at once; `Popen.wait` with a limit polls every 50 ms. What the
        # program itself has started may hold the output open for longer, so look at the process, too.
        while not silent.wait(min(SILENCE_S, max(0.0, until - time.monotonic()))):
            if first.poll() is not None or time.monotonic() >= until:
                break
        try:
            first.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            overdue = True
            _end(first)
        watcher.join(5)
        kind, code = _decode(first.returncode, killed=killed.is_set())
        return Ended(
            EndKind.DEADLINE if overdue else kind,
            code,
            start_ns=start_ns,
            end_ns=time.monotonic_ns(),
            stderr=_tail(order.directory) if kind is EndKind.EXITED else "",
        )

    def _spawn(self, order: Order, process: int) -> "subprocess.Popen[bytes]":
        with open(os.path.join(order.directory, f"stderr.{process}"), "ab") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "crashlab.writers.spawn_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        try:
            if child.stdin is None:
                raise LabError("a spawned writer has no standard input")
            send_frame(child.stdin, Task(self._workload, self._path, order, process))
        except OSError as error:
            _end(child)
            raise LabError(f"a spawned writer took no order: {error}") from error
        return child

    def close(self) -> None:
        """Nothing outlives a run."""


def _out(child: "subprocess.Popen[bytes]") -> IO[bytes]:
    if child.stdout is None:
        raise LabError("a spawned writer has no standard output")
    return child.stdout


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill a child with all its descendants, reap it, close its pipes."""
    with contextlib.suppress(psutil.Error):
        for descendant in psutil.Process(child.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                descendant.kill()
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _decode(code: int, *, killed: bool) -> tuple[EndKind, int]:
    if code < 0:
        return EndKind.SIGNALLED, -code
    if sys.platform == "win32" and (killed or code == _WINDOWS_TERMINATED):
        return EndKind.SIGNALLED, _KILLED
    return EndKind.EXITED, code


def _tail(directory: str) -> str:
    with open(os.path.join(directory, "stderr.0"), "rb") as file:
        return file.read()[-4000:].decode(errors="replace")
