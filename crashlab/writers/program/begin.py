"""What the start-up hook puts in place in a process of the program, before the program's first line.

The program waits for every import made here, so they are few, and those of other modules are made where they are used.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys

from crashlab.errors import CrashlabError
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap.recorder import Recorder
from crashlab.sqlite.tap.seed import Seed
from crashlab.sqlite.tap.tap import Tap
from crashlab.writers.program.guard import Guard
from crashlab.writers.program.spool import Spool
from crashlab.writers.record import PlainFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from crashlab.sqlite.tap.listener import Listener

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_kept: list[Any] = []
"""The tap lives as long as the process: connections that nobody closes are closed by the interpreter at its end."""


def begin(order: dict[str, Any]) -> None:
    """Record this process, or only guard it, as the order says; a failure is told to the lab, the program goes on."""
    _die_with(order["owner"])
    spool = Spool(order["spool"])
    guard = Guard((order["copy"], *order["also"]), spool)
    try:
        log = _log(order) if order["log"] else None
        tap = _tap(order, guard, log)
    except CrashlabError as error:
        guard.start()
        spool.tell({"problem": str(error)})
        return
    spool.tell({"started": True})
    if log is not None:
        PlainFiles(log, order["copy"]).install()
        if order["ack_on"]:
            from crashlab.writers.program.output import AckLines

            AckLines(log, order["ack_on"]).install()
    guard.start()
    _kept.append(tap)
    owner = os.getpid()

    def over() -> None:
        if os.getpid() == owner and tap.errors:
            spool.tell({"problem": str(tap.errors[0])})

    atexit.register(over)


def _die_with(owner: int) -> None:
    """Let the kernel end the program's first process if the lab itself is killed (Linux)."""
    if sys.platform.startswith("linux") and os.getppid() == owner:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _log(order: dict[str, Any]) -> LogWriter:
    """The first process is number 0, the others are known by their pid; each exec of one begins a log of its own."""
    first = os.getppid() == order["owner"]
    for number in range(1000):
        base = f"{order['log']}/log.{0 if first else os.getpid()}{f'-{number}' if number else ''}"
        try:
            process = 0 if first and not number else os.getpid() * 1000 + number
            return LogWriter(base, process=process % (1 << 32), bytes_max=order["bytes_max"])
        except FileExistsError:
            first = False
    raise CrashlabError("a thousand programs in one process, one after the other")


def _tap(order: dict[str, Any], guard: Guard, log: LogWriter | None) -> Tap:
    listeners: list[Listener] = [guard]
    if log is not None:
        from crashlab.model.seed import subseed

        others = sum(name.endswith(".0000") for name in os.listdir(order["log"]))
        seed = order["seed"] if log.process == 0 else subseed(order["seed"], "process", others)
        listeners.insert(0, Seed(seed))
    tap = Tap(*listeners, recorder=None if log is None else Recorder(log, order["copy"]))
    tap.install()
    return tap
