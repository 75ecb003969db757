"""Starting a command with the hook in every Python of it, and ending it at its limits."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import msgspec
import psutil

from crashlab.errors import UsageError
from crashlab.writers.program.spool import read_spool
from crashlab.writers.space import size_of

VARIABLE = "CRASHLAB_PROGRAM_RUN"
LOG_BYTES_MAX = 512 << 20
DISK_BYTES_MAX = 256 << 20
POLL_S = 0.02
MEASURE_S = 0.25
GRACE_S = 0.2
LEAVE_S = 1.0
TAIL_BYTES = 4000
_STARTUP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup")  # noqa: PTH100
_NEEDED = ("crashlab", "msgspec", "psutil")


class Launch(msgspec.Struct, frozen=True):
    """What is to be started. `area`: a directory of this run's own; `copy`: the program's working directory.

    `record`: write a log (in `area`/log); without it the program is only guarded. `environment`: replaces values.
    `bytes_max`: of the log of one process. `disk_bytes_max`: what the run may add to `area`, its log included.
    """

    argv: tuple[str, ...]
    area: str
    copy: str
    timeout_s: float
    record: bool = True
    ack_on: str = ""
    seed: int = 1
    environment: dict[str, str] = {}
    bytes_max: int = LOG_BYTES_MAX
    disk_bytes_max: int = DISK_BYTES_MAX


class Ran(msgspec.Struct, frozen=True):
    """How it went. `code`: the exit code, -n for signal n. `limit`: why the lab ended it, if it did; `too_much`: it
    wrote more than it may.

    `started`: Python processes that ran the hook. `left`: processes that had not ended when the program had.
    `refused`, `untracked`: (path, what was done). `problems`: why a process could not be recorded.
    """

    code: int
    limit: str
    too_much: bool
    started: int
    left: int
    refused: tuple[tuple[str, str], ...]
    untracked: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    stdout: str
    stderr: str
    seconds: float = 0.0


def launch(order: Launch) -> Ran:
    """Run a command to its end or its limit; no process of it is left.

    Raises:
        UsageError: it cannot be started.
    """
    for name in ("log", "tmp"):
        os.makedirs(os.path.join(order.area, name), exist_ok=True)
    before = size_of(order.area)
    spool = os.path.join(order.area, "spool")
    with open(spool, "wb"):
        pass
    out, err = os.path.join(order.area, "stdout"), os.path.join(order.area, "stderr")
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        try:
            child = subprocess.Popen(
                list(order.argv),
                cwd=order.copy,
                env=hook_environment(order, spool),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"{order.argv[0]!r} cannot be started: {error.strerror}; expected a program on the PATH or in the "
                "working directory"
            ) from None
        began = time.monotonic()
        try:
            limit = _wait(child, order, before)
            seconds = time.monotonic() - began
        finally:
            left = _end_all(child, spool)
    too_much = size_of(order.area) - before > order.disk_bytes_max
    told = read_spool(spool)
    return Ran(
        child.returncode,
        limit,
        too_much,
        sum("started" in line for line in told),
        left,
        _pairs(told, "refused"),
        _pairs(told, "untracked"),
        tuple(dict.fromkeys(line["problem"] for line in told if "problem" in line)),
        _tail(out),
        _tail(err),
        seconds,
    )


def hook_environment(order: Launch, spool: str) -> dict[str, str]:
    """Return the environment in which every Python runs the hook first, as `order` says; `spool` must be there."""
    path = []
    for name in _NEEDED:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            path.append(os.path.dirname(os.path.dirname(spec.origin)))
    told: Mapping[str, Any] = {
        "spool": spool,
        "copy": order.copy,
        "also": [os.path.join(order.area, "tmp"), os.path.join(order.area, "log"), spool],
        "log": os.path.join(order.area, "log") if order.record else "",
        "owner": os.getpid(),
        "ack_on": order.ack_on,
        "seed": order.seed,
        "bytes_max": order.bytes_max,
        "path": list(dict.fromkeys(path)),
    }
    before = os.environ.get("PYTHONPATH")
    return {
        **program_environment(order),
        "PYTHONPATH": os.pathsep.join([_STARTUP, *([before] if before else [])]),
        VARIABLE: ascii(told),
    }


def program_environment(order: Launch) -> dict[str, str]:
    """Return the environment of a program of any kind: its directories are the copy and a private one for `TMPDIR`."""
    return {
        **os.environ,
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0"),
        **order.environment,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PWD": order.copy,
        "TMPDIR": os.path.join(order.area, "tmp"),
    }


def _wait(child: "subprocess.Popen[bytes]", order: Launch, before: int) -> str:
    """Wait for the end; return the limit that was met, if one was."""
    begin = measured = time.monotonic()
    while True:
        if _ended(child, POLL_S):
            return ""
        now = time.monotonic()
        if now - begin > order.timeout_s:
            return f"it ran for {order.timeout_s:g} s, the limit, and was ended there"
        if now - measured > MEASURE_S:
            measured = now
            if size_of(order.area) - before > order.disk_bytes_max:
                return "it wrote more than it may"


def _ended(child: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait so long at most; the answer comes as the child ends, where the system can tell (Linux)."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(child.pid)
            try:
                select.select([descriptor], [], [], seconds)
            finally:
                os.close(descriptor)
        return child.poll() is not None
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_all(child: "subprocess.Popen[bytes]", spool: str) -> int:
    """End everything that the program started: its session, and what left it but carries our variable."""
    left = 0
    if child.poll() is not None:  # helpers such as multiprocessing's resource tracker need a moment to end
        deadline = time.monotonic() + LEAVE_S
        while (left := len(_others(child.pid, spool))) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    for attempt in range(10):
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
        others = _others(child.pid, spool)
        for process in others:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(others, timeout=GRACE_S)
        if child.poll() is not None and not others:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S * (attempt + 1))
    child.wait()
    return left


def _others(leader: int, spool: str) -> list[psutil.Process]:
    """Living processes of the program but its first."""
    # One that forks and ends while we look may be missed with its child; the child is there when we look again.
    return _look(leader, spool) or _look(leader, spool)


def _look(leader: int, spool: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        if process.pid in (leader, os.getpid()):
            continue
        with contextlib.suppress(psutil.Error, OSError):
            ours = sys.platform != "win32" and os.getsid(process.pid) == leader
            if process.status() != psutil.STATUS_ZOMBIE and (ours or spool in process.environ().get(VARIABLE, "")):
                found.append(process)
    return found


def _pairs(told: Sequence[dict[str, Any]], key: str) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys((line[key], line["what"]) for line in told if key in line))


def _tail(path: str) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace")
