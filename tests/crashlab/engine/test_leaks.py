"""After many trials: no process, no descriptor, no directory is left."""

import os
import sys

import pytest

from crashlab.engine.campaign import Limits, run_campaign
from crashlab.engine.events import Emitter
from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.writers.launcher import can_hang_up

from .conftest import WORKLOADS

FAULTS = [
    "kill@ack#2",
    "kill@ack#1 delay=100us",
    "kill@phase=commit#3",
    "kill@phase=close-truncate",
    "kill@ack#99",
    "none",
    *(["hangup@ack#2", "hangup@ack#2 on=handle grace=5ms"] if can_hang_up() else []),
]


@pytest.mark.parametrize("trials", [80, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_nothing_is_left_after_many_trials(trials, workspace, executor, our_processes):
    descriptors = len(os.listdir("/proc/self/fd")) if sys.platform.startswith("linux") else 0
    before = our_processes()
    with Workspace(str(workspace.root)) as inner:
        road = RealRoad(Subject("plain", "plain_workload:plain", (WORKLOADS,), {"steps": 5}), inner)
        cases = (Case("plain", seed, FAULTS[seed % len(FAULTS)]) for seed in range(trials))
        tally = run_campaign(road, cases, executor, Limits(slots=3), Emitter())
        assert len(tally.outcomes) == trials
        assert not tally.count(Verdict.ERROR), [o.error for o in tally.outcomes if o.error][:3]
        assert not tally.count(Verdict.FAIL), [o.findings for o in tally.outcomes if o.findings][:3]
        assert tally.count(Verdict.PASS) > trials * 0.7
        assert [entry.name for entry in inner.root.iterdir()] == [
            "owner.lock"
        ]  # each run's directory goes as soon as it is judged
        assert len(our_processes() - before) <= 6
        road.close()
        assert our_processes() - before == set()
    assert [entry.name for entry in workspace.root.iterdir()] == ["owner.lock"]
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_nothing_is_left_after_trials_that_go_wrong(workspace, executor, our_processes):
    before = our_processes()
    with Workspace(str(workspace.root)) as inner:
        for name in ("Hangs", "EndsItsZygote", "RestartDies", "Parent"):
            road = RealRoad(Subject("odd", f"odd_workloads:{name}", (WORKLOADS,)), inner)
            for seed in range(2):
                road.run(Case("odd", seed, "kill@ack#20", deadline_s=0.3), "t")
            road.close()
            assert our_processes() - before == set(), name
    assert [entry.name for entry in workspace.root.iterdir()] == ["owner.lock"]
