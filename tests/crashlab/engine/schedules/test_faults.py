"""Faults as decisions: each finds its planted bug, passes the twin, replays from segments, and tells when it missed."""

import os
import random
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from crashlab.engine.schedules.faults import FAULTS, Struck, known_fault, parse_faults, result_of_call
from crashlab.engine.schedules.faults_foreign import Neighboured, parse_foreign
from crashlab.engine.schedules.processes.road import ProcessesRoad, process_turns
from crashlab.engine.schedules.replay import Segments
from crashlab.engine.schedules.road import ThreadsRoad
from crashlab.engine.schedules.strategies import parse_strategy
from crashlab.errors import UsageError
from crashlab.model.contract import FaultClass
from crashlab.model.schedule import Actor, Script
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.load import extend_path, load_workload
from crashlab.writers.schedule.connections import patched_connect
from crashlab.writers.schedule.decide import CALLS, Mark, Why
from crashlab.writers.schedule.locks import patched_threading
from crashlab.writers.schedule.turns import Turns

STEPS = 3
POINTS = 110


def load(name):
    extend_path((str(Path(__file__).parent),))
    return load_workload(f"faulted_workloads:{name}")


@contextmanager
def road_of(workload, processes):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    turns = process_turns() if processes else Turns()
    make = ProcessesRoad if processes else ThreadsRoad
    with (
        tempfile.TemporaryDirectory(dir=memory) as root,
        patched_threading(turns),
        patched_connect(turns),
        make(workload, "planted", Path(root), turns=turns) as road,
    ):
        yield road


def explored(workload, kinds, processes, *, schedules=120, until_found=True):
    """Run schedules with faults; return the first that failed, replayed alike five times, and what befell in all."""
    befell = []
    with road_of(workload, processes) as road:
        script = Script("planted", 1, tuple(Actor(lane, tuple(range(STEPS))) for lane in road.lanes({})))
        for number in range(schedules):
            rng = random.Random(number)
            decide = parse_strategy("bpr:2").decide(rng, POINTS, {})
            ran = road.run(script, Struck(decide, rng, POINTS, kinds) if kinds else decide)
            assert not ran.problem
            befell += [segment.fault for segment in ran.segments if segment.fault]
            assert not ran.findings or until_found
            if ran.findings:
                for _ in range(5):
                    again = road.run(script, Segments(ran.segments))
                    assert (again.digest, again.findings, again.segments) == (ran.digest, ran.findings, ran.segments)
                return ran, befell
    return None, befell


def finds_and_acquits(broken, twin, kind, invariant, processes):
    ran, befell = explored(load(broken), [kind], processes)
    assert ran is not None
    assert {finding.identity.invariant for finding in ran.findings} >= {invariant}
    assert {finding.identity.fault_class for finding in ran.findings} == {FAULTS[kind]}
    assert befell[-1] == kind
    clean, befell = explored(load(twin), [kind], processes, schedules=40, until_found=False)
    assert clean is None
    assert len(befell) > 10  # it did strike; what was missed is no evidence


PLANTED = [
    ("TwoTransactions", "OneTransaction", "kill", "sum"),
    ("SyncedNever", "SyncedFully", "power", "acked-row-lost"),
    ("SwallowsErrors", "Ledger", "io:EIO", "acked-row-lost"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "twin", "kind", "invariant"), PLANTED)
def test_each_fault_of_processes_finds_its_planted_bug_and_passes_the_twin(broken, twin, kind, invariant):
    finds_and_acquits(broken, twin, kind, invariant, processes=True)


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "twin", "kind", "invariant"), PLANTED)
def test_each_fault_of_threads_finds_its_planted_bug_and_passes_the_twin(broken, twin, kind, invariant):
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]; import test_faults as t; "
        f"t.finds_and_acquits({broken!r}, {twin!r}, {kind!r}, {invariant!r}, processes=False)"
    )
    # A process of its own: its threads take turns for ever.
    here = Path(__file__)
    subprocess.run(
        [sys.executable, "-c", script, str(here.parents[4]), str(here.parent)],
        check=True,
        capture_output=True,
        timeout=90,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TwoTransactions", "SyncedNever", "SwallowsErrors"])
def test_without_a_fault_the_same_programs_are_correct(name):
    assert explored(load(name), [], processes=True, schedules=10)[0] is None


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "harms"), [("stray", True), ("unlinker", True), ("restorer", True), ("looker", False), ("copier", False)]
)
def test_a_foreign_actor_is_one_more_lane(kind, harms):
    ran, _ = explored(Neighboured(load("Visits"), [kind]), [], processes=True, schedules=60 if harms else 15)
    assert (ran is not None) == harms
    if ran is not None:
        assert {finding.identity.fault_class for finding in ran.findings} == {FaultClass.NONE}


def test_foreign_actors_are_known_by_name():
    assert parse_foreign("stray, looker") == ("stray", "looker")
    with pytest.raises(UsageError, match="did you mean 'copier'"):
        parse_foreign("copyer")
