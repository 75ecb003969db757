"""`crashlab.writers.program.launch` for programs of any kind: recorded at their system calls."""

import os
import shutil
from pathlib import Path

from crashlab.errors import LabError, TapUnavailableError, UsageError
from crashlab.writers.program.launch import LEAVE_S, TAIL_BYTES, Launch, Ran, program_environment
from crashlab.writers.record.seccomp.available import seccomp_problem
from crashlab.writers.record.seccomp.order import Report, TreeOrder
from crashlab.writers.record.seccomp.run import run_order

__all__ = ["launch_tree"]

_MAGIC = b"SQLite format 3\0"


def launch_tree(order: Launch) -> Ran:
    """Run a command to its end or its limit, recorded at its system calls; no process of it is left.

    The log is `order.area`/log/log.0. With `record` false the program is guarded all the same, and the log is of no
    use. `started` counts the processes that changed something. `seed` has no effect: SQLite's randomness is its own.

    Raises:
        TapUnavailableError: not possible here; see `seccomp_problem`.
        UsageError: it cannot be started.
        LabError: the recorder itself failed.
    """
    problem = seccomp_problem()
    if problem is not None:
        raise TapUnavailableError(f"recording at the system call level: {problem}")
    for name in ("log", "tmp"):
        Path(order.area, name).mkdir(parents=True, exist_ok=True)
    environment = program_environment(order)
    if order.ack_on:
        environment["PYTHONUNBUFFERED"] = "1"  # an ack leaves when the program says it
    copy, temporary = os.path.realpath(order.copy), os.path.join(order.area, "tmp")
    report, outputs = run_order(
        TreeOrder(
            (_found(order.argv[0], copy, environment), *order.argv[1:]),
            copy,
            os.path.join(order.area, "log", "log.0"),
            environment,
            copy,
            order.timeout_s,
            order.bytes_max,
            roots=(copy, temporary),
            ack_on=order.ack_on,
            leave_s=LEAVE_S,
            area=order.area,
            area_bytes_max=order.disk_bytes_max,
        )
    )
    too_much = report.stopped in ("bytes", "disk")
    return Ran(
        _code(report),
        "it wrote more than it may" if too_much else _limit(report, order),
        too_much,
        report.processes,
        report.left if report.stopped == "" else 0,
        report.outside,
        tuple((path, "opened as a database") for path in _databases(temporary)),
        report.problems,
        outputs[0][-TAIL_BYTES:].decode("utf-8", "replace"),
        outputs[1][-TAIL_BYTES:].decode("utf-8", "replace"),
        (report.end_ns - report.start_ns) / 1e9,
    )


def _found(name: str, copy: str, environment: dict[str, str]) -> str:
    program = shutil.which(os.path.join(copy, name) if "/" in name else name, path=environment.get("PATH"))
    if program is None:
        raise UsageError(
            f"{name!r} cannot be started: no such program; expected one on the PATH or in the working directory"
        )
    return program


def _code(report: Report) -> int:
    if report.status is None:
        raise LabError("the recorder did not see the program end; this is a defect of crashlab")
    return os.waitstatus_to_exitcode(report.status)


def _limit(report: Report, order: Launch) -> str:
    return f"it ran for {order.timeout_s:g} s, the limit, and was ended there" if report.stopped == "seconds" else ""


def _databases(directory: str) -> list[str]:
    """Databases that are left in a directory; nothing has them open any more."""
    found = []
    for path in sorted(Path(directory).rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) == _MAGIC:
                    found.append(str(path))
    return found
