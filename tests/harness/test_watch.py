"""The watch complains of a loop that does not come, and of no other."""

import threading
from typing import Any

import pytest

from harness.workloads.system_metrics import DEFAULTS
from harness.workloads.watch import INCOMPLETE_MAX, OVERDUE, STUCK, Watch
from store import CheckpointRound


class Run:
    """A context whose clock is moved by hand."""

    def __init__(self, **params: Any) -> None:
        self.params = {**DEFAULTS, "checkpoint_interval_s": 0.05, "patience_s": 0.02, **params}
        self.now = 1000.0
        self.notes: list[str] = []
        self.in_wait = lambda: None

    def clock(self) -> float:
        return self.now

    def note(self, text: str) -> None:
        self.notes.append(text)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.in_wait()
        return event.is_set()

    def complained(self, start: str) -> bool:
        return any(note.startswith(start) for note in self.notes)


def round_with(backlog: int) -> CheckpointRound:
    return CheckpointRound("PASSIVE", 0, 10, 10 - backlog, 0.1)


def test_a_loop_that_never_comes_is_overdue_once() -> None:
    run = Run()
    watch = Watch(run)
    for _ in range(100):
        run.now += 0.004
        watch.pace()
    assert sum(note.startswith(OVERDUE) for note in run.notes) == 1


def test_a_loop_that_came_late_to_its_wait_is_not_overdue() -> None:
    run = Run()
    watch = Watch(run)
    run.now += 0.14

    def engine_goes_on() -> None:
        for _ in range(12):
            run.now += 0.004
            watch.pace()

    run.in_wait = engine_goes_on
    watch.wait(threading.Event(), 0.05)
    assert run.notes == []


def test_a_loop_that_waits_too_long_is_overdue() -> None:
    run = Run()
    watch = Watch(run)
    run.now += 0.16
    run.in_wait = watch.pace
    watch.wait(threading.Event(), 3600.0)
    assert run.complained(OVERDUE)


def test_a_failed_round_is_an_attempt() -> None:
    run = Run()
    watch = Watch(run)
    run.now += 0.14
    watch.raised("PASSIVE", made_to=False)
    run.now += 0.14
    watch.pace()
    assert not run.complained(OVERDUE)


@pytest.mark.parametrize(
    ("reader", "backup", "stuck"), [("none", False, True), ("pinned", False, False), ("none", True, False)]
)
def test_rounds_that_leave_frames(reader: str, backup: bool, stuck: bool) -> None:
    run = Run(reader=reader)
    watch = Watch(run)

    def many_rounds() -> None:
        for _ in range(INCOMPLETE_MAX + 1):
            watch.ran(round_with(3))

    if backup:
        with watch.own_snapshot():
            many_rounds()
    else:
        many_rounds()
    assert run.complained(STUCK) is stuck


def test_a_finished_round_begins_the_count_anew() -> None:
    run = Run()
    watch = Watch(run)
    for backlog in [3] * INCOMPLETE_MAX + [0] + [3] * INCOMPLETE_MAX:
        watch.ran(round_with(backlog))
    assert not run.complained(STUCK)
