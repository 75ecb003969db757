"""One run in real time: how long checkpoints take, how long a writer waits, how large the WAL gets.

On a real disk, without the tap, since both are what is measured. Durations are read off the log's marks, which
the lab's `connect()` makes for any program.
"""

import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from crashlab.engine.judge import clear_run
from crashlab.engine.road import make_order
from crashlab.engine.slots import Slots
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.faults.none import NoFault
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, read_marks
from crashlab.model.case import Case
from crashlab.model.history import EndKind, History, StepState
from crashlab.model.phase import MARK_CHECKPOINT, MARK_CLOSE, MARK_COMMIT
from crashlab.writers.order import ClockKind

__all__ = ["Round", "run_in_real_time"]

LOOK_S = 0.005


class Round(NamedTuple):
    """What one run showed; times in milliseconds, `seconds` from the first step to the last.

    `busy`: share of the machine's processor time that was not idle meanwhile, whoever used it.
    """

    checkpoint_ms: list[float]
    stall_ms: list[float]
    commit_ms: list[float]
    steps: int
    seconds: float
    wal_bytes_max: int
    busy: float = 0.0


def run_in_real_time(slots: Slots, disk: Workspace, case: Case, tick_s: float) -> Round:
    """Run a case's workload in real time, a step every `tick_s` seconds.

    Raises:
        LabError: the run broke.
    """
    with slots.use() as slot:
        order = make_order(slots, slot, disk, case, NoFault())
        order = msgspec.structs.replace(order, clock=ClockKind.REAL, tick_s=tick_s)
        try:
            before = psutil.cpu_times()
            with _Watch(f"{order.database}-wal") as watch:
                ended = slot.launcher.launch(order)
            busy = _busy(before, psutil.cpu_times())
            if ended.kind is not EndKind.EXITED or ended.code:
                last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
                raise LabError(f"the run in real time ended by {ended.kind} {ended.code}: {last}")
            history = build_history(case.case_id, read_marks(log_bases(order.directory)), ended)
        finally:
            clear_run(order.directory)
    return _read(history, watch.largest)._replace(busy=busy)


def _read(history: History, wal_bytes_max: int) -> Round:
    steps = [step for step in history.steps if not step.process and step.state is StepState.ACKED]
    begin = min((step.begin_ns for step in steps), default=0)
    end = max((step.end_ns for step in steps), default=0)
    closing = min((p.enter_ns for p in history.phases if p.name == MARK_CLOSE and not p.process), default=end)

    def durations(name: str) -> list[float]:
        return [
            (phase.leave_ns - phase.enter_ns) / 1e6
            for phase in history.phases
            if phase.name == name and not phase.process and phase.leave_ns and begin <= phase.enter_ns < closing
        ]

    return Round(
        durations(MARK_CHECKPOINT),
        [(step.end_ns - step.begin_ns) / 1e6 for step in steps],
        durations(MARK_COMMIT),
        len(steps),
        (end - begin) / 1e9,
        wal_bytes_max,
    )


def _busy(before: Any, after: Any) -> float:
    spent = sum(after) - sum(before)
    return 1.0 - (after.idle - before.idle) / spent if spent > 0 else 0.0


class _Watch:
    """Looks at a file's size from outside, by its name alone: nothing of a live database is opened here."""

    def __init__(self, path: str) -> None:
        self.largest = 0
        self._path = Path(path)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="wal-size", daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self.largest = max(self.largest, os.stat(self._path).st_size)
            except OSError:
                continue
