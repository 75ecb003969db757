"""One run of a command as a tree of processes, hit by a signal at a moment; nothing of it is left."""

import os
import selectors
import signal
import subprocess
import time

import msgspec

from crashlab.errors import UsageError
from crashlab.writers.space import size_of
from crashlab.writers.tree.openfiles import OpenDatabases
from crashlab.writers.tree.output import Lines, Tail
from crashlab.writers.tree.processes import descendants, end_all, reap, running, send

__all__ = ["Acked", "TreeLimits", "TreeOrder", "TreeRan", "run_tree"]

LOOK_S = 0.02
AWAIT_S = 0.001
TIME_LIMIT = "it ran for"
MEASURE_S = 0.25
POLL_S = 0.002
READ_BYTES = 1 << 16


class TreeLimits(msgspec.Struct, frozen=True):
    """What a run may use: seconds, bytes of output, bytes on disk more than before, processes at once."""

    seconds: float = 60.0
    output_bytes: int = 64 << 20
    disk_bytes: int = 256 << 20
    processes: int = 400


class TreeOrder(msgspec.Struct, frozen=True):
    """A command and when it is hit. `area`: the directory whose growth counts, and in which databases may be.

    `signal`: 0 for none. The moment is `delay_us` after the start or, with `after_open`, after a database was seen
    open, or, with `after_acks` above 0, after so many acks were read. A signal other than SIGKILL is followed by
    SIGKILL after `grace_s`. `look_s`: between looks at what it has open.
    """

    argv: tuple[str, ...]
    cwd: str
    area: str
    environment: dict[str, str]
    ack_on: str = ""
    signal: int = 0
    after_open: bool = False
    after_acks: int = 0
    delay_us: int = 0
    grace_s: float = 2.0
    look_s: float = LOOK_S
    limits: TreeLimits = TreeLimits()


class Acked(msgspec.Struct, frozen=True, array_like=True):
    """A line of output that was an ack: what its pattern caught, and when it was read, from the start."""

    key: str
    us: int


class TreeRan(msgspec.Struct, frozen=True):
    """How it went. `code`: of the first process, -n for signal n. `limit`: why the lab ended it, if it did.

    `fired`: the signal hit something that ran (SIGKILL: something died of it); `how` says what then happened.
    `hit_us`, `end_us`: the moment of the signal, and when nothing of the tree lived any more. `left`: it outlived
    its first process. `opened`, `elsewhere`: databases that were open, below `area` and outside; `opened_us`: when the
    first of them was seen, -1 for never.
    """

    code: int
    limit: str
    fired: bool
    how: str
    hit_us: int
    end_us: int
    left: bool
    acked: tuple[Acked, ...]
    opened: tuple[str, ...]
    elsewhere: tuple[str, ...]
    opened_us: int
    stdout: str
    stderr: str


def run_tree(order: TreeOrder) -> TreeRan:
    """Run a command. This process must have asked for orphans (`adopt_orphans`) and have no other children.

    Raises:
        UsageError: it cannot be started.
        LabError: something of it cannot be ended.
    """
    before = size_of(order.area)
    try:
        child = subprocess.Popen(
            list(order.argv),
            cwd=order.cwd,
            env=order.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(
            f"{order.argv[0]!r} cannot be started: {error.strerror}; expected a program on the PATH or in the "
            "working directory"
        ) from None
    except ValueError as error:
        raise UsageError(f"{order.argv[0]!r} cannot be started: {error}") from None
    run = _Run(order, child, before)
    try:
        run.until_over()
    finally:
        run.close()
    return run.told()


class _Run:
    """One command under way."""

    def __init__(self, order: TreeOrder, child: "subprocess.Popen[bytes]", bytes_before: int) -> None:
        self._order, self._child, self._bytes_before = order, child, bytes_before
        self._start_ns = time.monotonic_ns()
        self._statuses: dict[int, int] = {}
        self._lines, self._stderr = Lines(order.ack_on), Tail()
        self._selector = selectors.DefaultSelector()
        for stream, sink in ((child.stdout, self._lines), (child.stderr, self._stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, selectors.EVENT_READ, sink)
        self._leader = os.pidfd_open(child.pid)
        self._selector.register(self._leader, selectors.EVENT_READ, None)
        self._databases = OpenDatabases(order.area)
        self._fire_us = order.delay_us if order.signal and not (order.after_acks or order.after_open) else -1
        self._hit_us = self._end_us = self._opened_us = -1
        self._looked = self._measured = 0
        self._look_s = AWAIT_S if order.after_open else order.look_s
        self._grace_end_us = -1
        self._limit = self._how = ""
        self._fired = self._left = False

    def _us(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // 1000

    def until_over(self) -> None:
        """Run until nothing of the tree lives."""
        while True:
            wait_s = POLL_S if self._child.pid in self._statuses else self._look_s
            if self._hit_us < 0 <= self._fire_us:
                wait_s = min(wait_s, max(0, self._fire_us - self._us()) / 1e6)
            for key, _ in self._selector.select(wait_s):
                if key.data is None:
                    self._selector.unregister(self._leader)  # it has ended, and would say so for ever
                else:
                    self._read(key)
            alive = reap(self._statuses)
            now = self._us()
            self._end_us = now
            if not alive:
                break
            self._left = self._left or self._child.pid in self._statuses
            if self._hit_us < 0 <= self._fire_us <= now:
                self._hit(now)
            elif 0 <= self._grace_end_us <= now:
                self._how += f"; it still ran after {self._order.grace_s:g} s and was killed"
                self._grace_end_us = -1
                end_all(self._statuses, self._child.pid)
            elif limit := self._limit_met(now):
                self._limit = limit
                end_all(self._statuses, self._child.pid)
            elif self._databases.elsewhere:
                end_all(self._statuses, self._child.pid)

    def _hit(self, now: int) -> None:
        """Send the signal."""
        order = self._order
        known = set(self._statuses)
        self._hit_us = now
        if order.signal == signal.SIGKILL:
            end_all(self._statuses, self._child.pid)
            died = [pid for pid, code in self._statuses.items() if pid not in known and code == -signal.SIGKILL]
            self._fired = bool(died)
            if not died:
                return
            self._how = f"SIGKILL ended {len(died)} process{'es' if len(died) > 1 else ''}"
            if self._child.pid in known:
                self._how += ", which had outlived the first"
            return
        pids = running(descendants())
        send(pids, order.signal)
        reap(self._statuses)  # what it ended at once runs no more
        self._fired = bool(running(pids)) or any(pid in pids for pid in self._statuses if pid not in known)
        self._how = f"{signal.Signals(order.signal).name} to {len(pids)} processes"
        self._grace_end_us = now + int(order.grace_s * 1e6)

    def _look(self, pids: list[int], now: int) -> None:
        self._databases.look(pids)
        if self._opened_us < 0 and self._databases.inside:
            self._opened_us = now
            self._look_s = self._order.look_s
            if self._order.signal and self._order.after_open:
                self._fire_us = now + self._order.delay_us

    def _read(self, key: selectors.SelectorKey) -> None:
        while True:
            try:
                data = os.read(key.fd, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._selector.unregister(key.fileobj)
                return
            key.data.take(data, self._us())
            order = self._order
            if order.signal and self._fire_us < 0 and 0 < order.after_acks <= len(self._lines.acked):
                self._fire_us = self._lines.acked[order.after_acks - 1].us + order.delay_us
            if self._hit_us < 0 <= self._fire_us <= (now := self._us()):
                self._hit(now)  # at once: the program goes on meanwhile
            if self._too_talkative() or self._hit_us >= 0:
                return

    def _too_talkative(self) -> bool:
        return self._lines.bytes + self._stderr.bytes > self._order.limits.output_bytes

    def _limit_met(self, now: int) -> str:
        limits = self._order.limits
        if self._too_talkative():
            return f"it printed more than {limits.output_bytes >> 20} MiB and was ended there"
        if now > limits.seconds * 1e6 and self._grace_end_us < 0:
            return f"{TIME_LIMIT} {limits.seconds:g} s, the limit, and was ended there"
        if now - self._looked >= self._look_s * 1e6:
            self._looked = now
            pids = descendants()
            if len(pids) > limits.processes:
                return f"it had more than {limits.processes} processes at once and was ended there"
            self._look(pids, now)
        if now - self._measured > MEASURE_S * 1e6:
            self._measured = now
            if size_of(self._order.area) - self._bytes_before > limits.disk_bytes:
                return self._too_much()
        return ""

    def _too_much(self) -> str:
        return f"it wrote more than {self._order.limits.disk_bytes >> 20} MiB and was ended there"

    def close(self) -> None:
        """End what still runs, and read what is still in the pipes."""
        try:
            end_all(self._statuses, self._child.pid)
            for key in list(self._selector.get_map().values()):
                if key.data is not None:
                    self._read(key)
        finally:
            self._child.returncode = self._statuses.get(self._child.pid, 0)  # waited for here, not by Popen
            self._selector.close()
            os.close(self._leader)
            for stream in (self._child.stdout, self._child.stderr):
                if stream is not None:
                    stream.close()

    def told(self) -> TreeRan:
        """Return how it went."""
        if not self._limit and size_of(self._order.area) - self._bytes_before >= self._order.limits.disk_bytes:
            self._limit = self._too_much()
        code = self._child.returncode
        how = self._how
        if self._fired and self._order.signal != signal.SIGKILL and "killed" not in how:
            after = (self._end_us - self._hit_us) / 1000
            how += f"; exit code {code}" if code >= 0 else f"; it died of signal {-code}"
            how += f" {after:.0f} ms later"
        return TreeRan(
            code,
            self._limit,
            self._fired,
            how,
            max(0, self._hit_us),
            max(0, self._end_us),
            self._left,
            tuple(Acked(key, us) for key, us in self._lines.acked),
            tuple(sorted(map(_text, self._databases.inside))),
            tuple(sorted(map(_text, self._databases.elsewhere))),
            self._opened_us,
            self._lines.text,
            self._stderr.text,
        )


def _text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
