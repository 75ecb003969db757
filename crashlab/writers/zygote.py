"""The zygote: a process started clean that has imported the workload and forks writers from it.

It takes one order at a time over a socket, forks the order's processes (each in a session of its own),
waits for process 0 to die as the order says, ends and reaps everything else, and reports how process 0
ended. It never opens a database. It dies, with its writers, when its owner closes the socket.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

import msgspec

from crashlab.errors import CrashlabError
from crashlab.model.history import Ended, EndKind
from crashlab.writers.context import RunContext
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.killtimer import kill_self_in
from crashlab.writers.load import extend_path, load_workload
from crashlab.writers.order import Action, Order, Trigger
from crashlab.writers.run import run_process

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STDERR_TAIL = 4000


class Hello(msgspec.Struct):
    """What the owner says first: the workload to import and where it is found."""

    workload: str
    path: tuple[str, ...] = ()


class Ready(msgspec.Struct):
    """The zygote's answer: imported, or why not."""

    error: str = ""


def serve(connection: socket.socket) -> None:
    """Serve one owner until the socket closes."""
    stream = connection.makefile("rwb")
    hello = read_frame(stream, Hello)
    if hello is None:
        return
    extend_path(hello.path)
    try:
        workload = load_workload(hello.workload)
    except CrashlabError as error:
        send_frame(stream, Ready(str(error)))
        return
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's business; he closes the socket
    gc.collect()
    gc.freeze()  # the forked writers then share these pages for longer
    send_frame(stream, Ready())
    while True:
        order = read_frame(stream, Order)
        if order is None:
            return
        ended = _Run(workload, order, connection).wait()
        if ended is None:
            return
        send_frame(stream, ended)


class _Run:
    """One order being carried out."""

    def __init__(self, workload: Any, order: Order, connection: socket.socket) -> None:
        self._order = order
        self._connection = connection
        self._fire_read, self._fire_write = os.pipe()
        self._master = self._slave = -1
        if order.hangup is not None:
            self._master, self._slave = os.openpty()
        lanes = workload.lanes(RunContext(order, 0, _no_connect))
        processes = sorted({0, *(lane.process for lane in lanes)})
        self._start_ns = time.monotonic_ns()
        self._pids = {process: self._fork(workload, process) for process in processes}
        os.close(self._fire_write)
        if self._slave >= 0:
            os.close(self._slave)
        self._hung_up = self._grace_kill = False

    def _fork(self, workload: Any, process: int) -> int:
        pid = os.fork()
        if not pid:
            _child(workload, self._order, process, self._connection, self._fire_write, self._slave, self._master)
        return pid

    def wait(self) -> Ended | None:
        """Wait for process 0; return None if the owner went away meanwhile."""
        pidfd = os.pidfd_open(self._pids[0])
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.register(self._connection, select.POLLIN)
        poller.register(self._fire_read, select.POLLIN)
        if self._master >= 0:
            poller.register(self._master, select.POLLIN)
        give_up = time.monotonic() + self._order.deadline_s
        grace_until = float("inf")
        overdue = owner_gone = False
        try:
            while True:
                left = min(give_up, grace_until) - time.monotonic()
                ready = {fd for fd, _ in poller.poll(max(0.0, left) * 1000)}
                if pidfd in ready:
                    break
                if self._connection.fileno() in ready:
                    owner_gone = True
                    break
                if self._master >= 0 and self._master in ready:
                    with contextlib.suppress(OSError):
                        os.read(self._master, 65536)  # what the writer prints goes nowhere
                if self._fire_read in ready:
                    poller.unregister(self._fire_read)
                    if os.read(self._fire_read, 1) and self._order.hangup is not None:
                        self._hung_up = _alive(self._pids[0])
                        poller.unregister(self._master)
                        os.close(self._master)
                        self._master = -1
                        grace_until = time.monotonic() + self._order.hangup.grace_s
                now = time.monotonic()
                if now >= grace_until:
                    self._grace_kill = _alive(self._pids[0])
                    os.kill(self._pids[0], signal.SIGKILL)
                    grace_until = float("inf")
                elif now >= give_up:
                    overdue = True
                    break
        finally:
            os.close(pidfd)
            os.close(self._fire_read)
            if self._master >= 0:
                os.close(self._master)
            status = self._end_all()
        if owner_gone:
            return None
        kind, code = _decode(status)
        return Ended(
            EndKind.DEADLINE if overdue else kind,
            code,
            hung_up=self._hung_up,
            grace_kill=self._grace_kill,
            start_ns=self._start_ns,
            end_ns=time.monotonic_ns(),
            stderr=_tail(f"{self._order.directory}/stderr.0") if kind is EndKind.EXITED else "",
        )

    def _end_all(self) -> int:
        """Kill and reap every process of the run, grandchildren too; return process 0's wait status."""
        first = self._pids[0]
        status = 0
        done, reaped = os.waitpid(first, os.WNOHANG)
        if done:
            status = reaped
        for process, pid in self._pids.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # its session: whatever it started itself
            if process == 0 and done:
                continue
            os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still ours
            _, reaped = os.waitpid(pid, 0)
            if process == 0:
                status = reaped
        _reap_orphans()
        return status


def _child(
    workload: Any,
    order: Order,
    process: int,
    connection: socket.socket,
    fire_write: int,
    slave: int,
    master: int,
) -> NoReturn:
    code = 71
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        connection.close()
        _redirect(order.directory, process, slave if process == 0 else -1)
        if master >= 0:
            os.close(master)
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def fire(trigger: Trigger) -> None:
            if trigger.action is Action.HANG_UP:
                os.write(fire_write, b"!")
            else:
                kill_self_in(trigger.delay_us)

        code = run_process(workload, order, process, fire)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
    finally:
        os._exit(code)


def _redirect(directory: str, process: int, slave: int) -> None:
    """Standard input and output: the terminal if there is one, else nothing; errors to a file."""
    if slave >= 0:
        import fcntl
        import termios

        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        os.dup2(slave, 0)
        os.dup2(slave, 1)
        if slave > 2:
            os.close(slave)
    else:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
    errors = os.open(f"{directory}/stderr.{process}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(errors, 2)
    os.close(errors)


def _alive(pid: int) -> bool:
    """True if the child still runs (a zombie does not; killing one succeeds all the same)."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _decode(status: int) -> tuple[EndKind, int]:
    if os.WIFSIGNALED(status):
        return EndKind.SIGNALLED, os.WTERMSIG(status)
    return EndKind.EXITED, os.WEXITSTATUS(status)


def _reap_orphans() -> None:
    """End and reap grandchildren that came to us as their subreaper."""
    for _ in range(1000):
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for orphan in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
            time.sleep(0.001)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read()[-_STDERR_TAIL:].decode(errors="replace")
    except FileNotFoundError:
        return ""


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _no_connect(*_args: object, **_kwargs: object) -> NoReturn:
    raise CrashlabError("lanes() may not open a database: it is asked in a process that forks writers")


def main() -> None:
    """Serve on the socket whose descriptor is the first argument."""
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its owner was killed: nobody to complain to
        main()
