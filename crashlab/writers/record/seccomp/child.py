"""The recorder's process: starts the program under the filter, serves its calls, leaves nobody behind.

A process of its own, so that recording does not share an interpreter with anything, its mask can be 0, and
every descendant of the program becomes its child in the end. Run as `python -m` by `tree`; the order comes in
on standard input, what is to be said goes out on standard output.
"""

import contextlib
import gc
import math
import os
import platform
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from crashlab.errors import LabError, LimitError
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.record.seccomp.files import Files
from crashlab.writers.record.seccomp.guard import Guard
from crashlab.writers.record.seccomp.kernel import adopt_orphans, install_filter, signal_with_parent
from crashlab.writers.record.seccomp.listener import STOPPED_DISK, Loop
from crashlab.writers.record.seccomp.log import RecorderLog
from crashlab.writers.record.seccomp.numbers import MACHINES
from crashlab.writers.record.seccomp.order import Report, TreeOrder, TreeStarted
from crashlab.writers.space import size_of
from crashlab.writers.tree.confine import confine, confinement_problem

if TYPE_CHECKING:
    from crashlab.writers.record.seccomp.acks import Acks

_TICK_S = 0.05
_MEASURE_S = 0.25
_KILL_ROUNDS_MAX = 1000
_ON_THE_WAY_OUT_S = 2.0
_NOT_STARTED = 127


class _Tree:
    """The program and what it started."""

    def __init__(self, order: TreeOrder) -> None:
        self._order = order
        self._deadline = time.monotonic() + order.seconds_max
        self.status: int | None = None
        self.told_to_end = False
        self.overdue = self.too_much = False
        self._leave = math.inf
        self._before = self._measured = 0.0
        self.left = 0
        self.pid = 0
        self.listener = -1

    def start(self) -> None:
        """Fork the program, stopped just before its exec until `go`."""
        ours, theirs = socket.socketpair()
        self._gate = ours
        self.pid = os.fork()
        if self.pid == 0:
            _become(self._order, theirs)
        theirs.close()
        message, descriptors, _, _ = socket.recv_fds(ours, 200, 1)
        if not descriptors:
            raise OSError(message.decode(errors="replace") or "the program's process ended before it was filtered")
        self.listener = descriptors[0]
        for number in (self._order.out, self._order.err):
            os.close(number)
        if self._order.area:
            self._before = size_of(self._order.area)

    def go(self) -> None:
        self._gate.send(b"g")
        self._gate.close()

    def look(self) -> bool:
        """Reap; say whether the tree must be ended now."""
        self.reap()
        now = time.monotonic()
        self.overdue = self.overdue or now >= self._deadline
        if self.status is not None and self._order.leave_s is not None and self._leave == math.inf:
            self._leave = now + self._order.leave_s
        if self._order.area and now - self._measured > _MEASURE_S:
            self._measured = now
            self.too_much = size_of(self._order.area) - self._before > self._order.area_bytes_max
        return self.overdue or self.told_to_end or self.too_much or now >= self._leave

    def reap(self) -> bool:
        """Reap all that have ended; return whether children are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.pid:
                self.status = status

    def wait(self) -> None:
        """Reap all that are about to end: each of them has let go of the filter, which it does on its way out."""
        deadline = time.monotonic() + _ON_THE_WAY_OUT_S
        while self.reap() and time.monotonic() < deadline:
            time.sleep(0.0005)

    def kill(self) -> None:
        """Kill every descendant, however many generations there are, and reap them."""
        if not self.reap():
            return
        import psutil  # slow to load, and seldom needed

        me = psutil.Process()
        for turn in range(_KILL_ROUNDS_MAX):
            if not self.reap():
                return
            for child in me.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if child.status() != psutil.STATUS_ZOMBIE:
                        self.left += turn == 0
                        child.kill()
            time.sleep(0.001)


def _become(order: TreeOrder, gate: socket.socket) -> NoReturn:
    """In the forked child: take the filter, hand its listener over, become the program."""
    try:
        os.setsid()
        signal_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for place, number in enumerate((null, order.out, order.err)):
            os.dup2(number, place)
        os.chdir(order.cwd)
        if order.roots and not confinement_problem():
            confine(*order.roots)  # behind the guard, which has to judge a path before the call is done
        listener = install_filter()
        socket.send_fds(gate, [b"l"], [listener])
        os.close(listener)
        if gate.recv(1) == b"g":
            os.execve(order.argv[0], list(order.argv), order.env)
    except (OSError, LabError) as error:
        with contextlib.suppress(OSError):
            gate.send(str(error).encode()[:200])
        os.write(2, f"crashlab: {order.argv[0]} could not be started: {error}\n".encode())
    finally:
        os._exit(_NOT_STARTED)


def _acks(log: RecorderLog, order: TreeOrder) -> "Acks | None":
    if not order.ack_on:
        return None
    from crashlab.writers.record.seccomp.acks import Acks  # slow to load, and seldom needed

    return Acks(log, order.ack_on, order.out)


def main() -> None:
    """Serve one order."""
    tree: _Tree | None = None
    loop: Loop | None = None

    def notice(_number: int, _frame: object) -> None:
        if loop is not None:
            loop.look_soon = True

    def end(_number: int, _frame: object) -> None:
        if tree is not None:
            tree.told_to_end = True
            notice(_number, _frame)
        else:
            os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    signal_with_parent(signal.SIGTERM)
    order = read_frame(sys.stdin.buffer, TreeOrder)
    if order is None or os.getppid() != order.owner:
        return
    adopt_orphans()
    for number in (signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, notice)
    tree = _Tree(order)
    problem = ""
    files: Files | None = None
    guard = Guard(order.roots)
    start_ns = time.monotonic_ns()
    try:
        log = RecorderLog(order.log_base, bytes_max=order.bytes_max)
        files = Files(log, order.directory, order.kill)
        acks = _acks(log, order)
        tree.start()
        os.umask(0)
        loop = Loop(tree.listener, MACHINES[platform.machine()], files, guard, acks)
        send_frame(sys.stdout.buffer, TreeStarted(tree.pid))
        signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)
        gc.freeze()
        gc.disable()  # nothing here makes cycles, call by call
        start_ns = time.monotonic_ns()
        tree.go()
        if loop.run(tree.look):
            tree.wait()
    except (OSError, LimitError) as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        tree.kill()
    if tree.told_to_end:
        return
    report = Report(
        tree.status,
        start_ns,
        time.monotonic_ns(),
        tuple(files.problems) if files is not None else (),
        tuple(sorted(loop.answers.refused)) if loop is not None else (),
        files.operations if files is not None else 0,
        loop.calls if loop is not None else 0,
        "seconds" if tree.overdue else STOPPED_DISK if tree.too_much else loop.stopped if loop is not None else "",
        tree.left,
        loop.processes if loop is not None else 0,
        tuple(guard.refused.items()),
        problem,
    )
    with contextlib.suppress(OSError):
        send_frame(sys.stdout.buffer, report)


if __name__ == "__main__":
    main()
