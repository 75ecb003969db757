"""Whether programs can be recorded at the system call level here."""

import functools
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from crashlab.errors import LabError
from crashlab.writers.record.seccomp.numbers import MACHINES
from crashlab.writers.record.seccomp.order import TreeOrder
from crashlab.writers.record.seccomp.run import run_order

__all__ = ["seccomp_problem"]

_LINUX_MIN = (5, 19)
_TRY_S = 20.0
_OPERATIONS_MIN = 2


@functools.cache
def seccomp_problem() -> str | None:
    """Say why a program cannot be recorded by seccomp here, or None if it can; tried once.

    Needs Linux 5.19 (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`), a 64-bit x86 or ARM, and a system (container)
    that allows a filter with a listener.
    """
    if not sys.platform.startswith("linux"):
        return f"needs Linux, this is {sys.platform}"
    machine = platform.machine()
    if machine not in MACHINES or sys.maxsize <= 1 << 32:
        return f"not for {machine} yet, only for 64-bit {' and '.join(MACHINES)}"
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    if found is not None and (int(found[1]), int(found[2])) < _LINUX_MIN:
        return f"needs Linux 5.19 or later, this is {platform.release()}"
    return _tried()


def _tried() -> str | None:
    """Record a program that writes one file."""
    with tempfile.TemporaryDirectory() as scratch:
        run = os.path.join(os.path.realpath(scratch), "run")
        Path(run).mkdir()
        argv = (sys.executable, "-I", "-S", "-c", "open('file', 'w').write('x')")
        order = TreeOrder(argv, run, os.path.join(scratch, "log"), {}, run, _TRY_S, 1 << 20)
        try:
            report, _ = run_order(order)
        except LabError as error:
            return str(error)
    if report.status != 0 or report.operations < _OPERATIONS_MIN or report.problems:
        return f"tried, and it did not work: {report}"
    return None
