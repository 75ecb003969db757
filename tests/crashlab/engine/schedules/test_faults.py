"""Faults as decisions: each finds its planted bug, passes the twin, replays from segments, and tells when it missed."""

import os
import random
import tempfile
from pathlib import Path

import pytest

from crashlab.engine.schedules.faults import FAULTS, Struck, known_fault, parse_faults, result_of_call
from crashlab.engine.schedules.processes.road import ProcessesRoad, process_turns
from crashlab.engine.schedules.replay import Segments
from crashlab.engine.schedules.strategies import parse_strategy
from crashlab.errors import UsageError
from crashlab.model.contract import FaultClass
from crashlab.model.schedule import Actor, Script
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.load import extend_path, load_workload
from crashlab.writers.schedule.decide import CALLS, Mark, Why
from crashlab.writers.schedule.locks import patched_threading

STEPS = 3
POINTS = 110
SCHEDULES_MAX = 120


def load(name):
    extend_path((str(Path(__file__).parent),))
    return load_workload(f"faulted_workloads:{name}")


def explored(workload, kinds, *, road_class=ProcessesRoad, schedules=SCHEDULES_MAX, until_found=True):
    """Run schedules with faults; return the first that failed, as often as it replays alike, and what befell."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    turns = process_turns()
    befell = []
    with tempfile.TemporaryDirectory(dir=memory) as root, patched_threading(turns):
        with road_class(workload, "planted", Path(root), turns=turns) as road:
            script = Script("planted", 1, tuple(Actor(lane, tuple(range(STEPS))) for lane in road.lanes({})))
            for number in range(schedules):
                rng = random.Random(number)
                ran = road.run(script, Struck(parse_strategy("bpr:2").decide(rng, POINTS, {}), rng, POINTS, kinds))
                assert not ran.problem
                befell += [segment.fault for segment in ran.segments if segment.fault]
                if ran.findings and until_found:
                    again = [road.run(script, Segments(ran.segments)) for _ in range(5)]
                    for one in again:
                        assert (one.digest, one.findings, one.segments) == (ran.digest, ran.findings, ran.segments)
                    return ran, befell
                assert not ran.findings or until_found
    return None, befell


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "twin", "kind", "invariant"),
    [
        ("TwoTransactions", "OneTransaction", "kill", "sum"),
        ("SyncedNever", "SyncedFully", "power", "acked-row-lost"),
        ("SwallowsErrors", "Ledger", "io:EIO", "acked-row-lost"),
    ],
)
def test_each_fault_finds_its_planted_bug_and_passes_the_twin(broken, twin, kind, invariant):
    ran, befell = explored(load(broken), [kind])
    assert ran is not None
    assert {finding.identity.invariant for finding in ran.findings} >= {invariant}
    assert {finding.identity.fault_class for finding in ran.findings} == {FAULTS[kind]}
    assert befell[-1] == kind
    clean, befell = explored(load(twin), [kind], schedules=40)
    assert clean is None
    assert len(befell) > 10  # it did strike; what was missed is no evidence


@pytest.mark.slow
def test_without_a_fault_the_same_programs_are_correct():
    for name in ("TwoTransactions", "SyncedNever", "SwallowsErrors"):
        turns = process_turns()
        with tempfile.TemporaryDirectory() as root, patched_threading(turns):
            with ProcessesRoad(load(name), "planted", Path(root), turns=turns) as road:
                script = Script("planted", 1, tuple(Actor(lane, tuple(range(STEPS))) for lane in road.lanes({})))
                for number in range(10):
                    decide = parse_strategy("bpr:2").decide(random.Random(number), POINTS, {})
                    assert road.run(script, decide).findings == ()


def test_a_fault_falls_on_its_point_and_what_was_left_of_the_grant_is_given_back():
    asked = []

    def inner(*ask):
        asked.append(ask)
        return (0, 1000, "")

    decide = Struck(inner, random.Random(1), 20, ["io:EIO"])
    at = decide._at
    assert decide(Why.START, -1, Mark.FINISH, 0, [0, 1]) == (0, at, "io:EIO")
    assert decide(Why.POINT, 0, 3, at, [0, 1]) == (0, 1000 - at, "")
    assert decide(Why.POINT, 0, 3, 1000, [0, 1]) == (0, 1000, "")
    assert len(asked) == 2


def test_a_fault_that_was_not_reached_is_tried_again():
    decide = Struck(lambda *_: (1, 1000, ""), random.Random(1), 20, ["kill"])
    assert decide(Why.START, -1, Mark.FINISH, 0, [0, 1])[2] == "kill"
    assert decide(Why.YIELD, 1, Mark.BUSY, 2, [0, 1])[2] == "kill"


def test_only_a_call_that_can_fail_so_is_answered():
    assert result_of_call("io:EIO", CALLS[Operation.WRITE]) == 778
    assert result_of_call("io:ENOSPC", CALLS[Operation.WRITE]) == 13
    assert result_of_call("io:ENOSPC", CALLS[Operation.SYNC]) is None
    assert result_of_call("io:EIO", CALLS[Operation.UNFETCH]) is None
    assert result_of_call("io:EIO", 24) is None


def test_faults_are_known_by_name():
    assert parse_faults("kill, io") == ("kill", "io:EIO", "io:ENOSPC")
    assert known_fault("power") == "power"
    assert FAULTS["power"] is FaultClass.POWER_LOSS
    for text in ("kil", "kill,flood"):
        with pytest.raises(UsageError, match="expected kill, power, io"):
            parse_faults(text)
    with pytest.raises(UsageError, match="expected one of kill, power"):
        known_fault("powr")
