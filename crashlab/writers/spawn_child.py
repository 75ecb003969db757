"""The child of a `SpawnLauncher`: reads its task from standard input and runs one process of it."""

import contextlib
import os
import sys
import threading

from crashlab.errors import CrashlabError
from crashlab.sqlite.tap.killer import kill_self
from crashlab.writers.context import RunContext
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.load import extend_path, load_workload
from crashlab.writers.order import Trigger
from crashlab.writers.run import run_process
from crashlab.writers.spawn import Started, Task
from crashlab.writers.zygote import _no_connect

_OWNER_GONE = 71


def main() -> int:
    """Run the task and return the process's exit code."""
    task = read_frame(sys.stdin.buffer, Task)
    if task is None:
        return 2
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    extend_path(task.path)
    try:
        workload = load_workload(task.workload)
    except CrashlabError as error:
        send_frame(out, Started(error=str(error)))
        return 2
    threading.Thread(target=_die_with_owner, daemon=True).start()
    if task.process == 0:
        lanes = workload.lanes(RunContext(task.order, 0, _no_connect))
        send_frame(out, Started(tuple(sorted({lane.process for lane in lanes}))))

    def fire(trigger: Trigger) -> None:
        if trigger.delay_us <= 0:
            kill_self()
        out.write(b"!")

    code = run_process(workload, task.order, task.process, fire)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _die_with_owner() -> None:
    """The owner holds the other end of standard input open for as long as it lives."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(_OWNER_GONE)


if __name__ == "__main__":
    sys.exit(main())
