"""Schedules of threads, through the process that runs them: what is found, what is the same again, what is named."""

import os
import tempfile
from pathlib import Path

import pytest

from crashlab.engine.schedules.campaign import Plan, run_schedules
from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.explore import Budget
from crashlab.engine.schedules.generic import GENERIC, generic_script
from crashlab.engine.schedules.orders import Greeting
from crashlab.engine.schedules.watchdog import RunLimits
from crashlab.engine.subject import Subject
from crashlab.errors import SubjectError
from crashlab.model.finding import Verdict
from crashlab.model.schedule import Schedule, Segment, decode_schedule
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.library import find_library

HERE = str(Path(__file__).parent)
AFFECTED = any(advisory.name == "wal-reset" for advisory in advisories_for(find_library()))
SECONDS = 100.0  # what ends a campaign is the number of schedules: the machine may be busy
SOON = RunLimits(points_max=2000, stall_s=1.0, seconds_max=20.0)


@pytest.fixture
def memory():
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Path(path)


def subject(name):
    return Subject(name, f"odd_lanes:{name}", (HERE,))


def campaign(memory, name, schedules=300, **more):
    plan = Plan(subject(name), budget=Budget(SECONDS, schedules), replays=10, limits=SOON, **more)
    return run_schedules(plan, memory, keep=memory / "cases")


SLOW = [pytest.param(text, marks=pytest.mark.slow) for text in ("pct:3", "sticky:5", "rare:3", "sticky:100")]


@pytest.mark.parametrize("strategy", ["bpr:4", *SLOW])
def test_the_same_seed_gives_the_same_schedules(memory, strategy):
    def digests():
        greeting = Greeting(GENERIC, "", str(memory / "work"), mix="IIRCCO")
        with Explorer(greeting) as explorer:
            explored = explorer.explore(strategy, 7, Budget(SECONDS, 25))
            return explored.counted.points, explored.counted.switches, explored.counted.acked

    first = digests()
    assert first == digests()
    assert first[1] > 25


def test_every_schedule_within_a_bound_is_run_once(memory):
    from crashlab.engine.schedules.exhaustive import schedules_of
    from crashlab.engine.schedules.generic import workload
    from crashlab.engine.schedules.road import ThreadsRoad
    from crashlab.writers.schedule.locks import patched_threading
    from crashlab.writers.schedule.support import first_runnable
    from crashlab.writers.schedule.turns import Turns

    turns = Turns()
    seen = {}
    with patched_threading(turns), ThreadsRoad(workload, GENERIC, memory, turns=turns) as road:
        for preemptions in (0, 1):
            runs = [road.run(script, decide) for script, decide in schedules_of(generic_script("I|I"), preemptions)]
            assert not any(ran.findings or ran.problem for ran in runs)
            seen[preemptions] = [ran.segments for ran in runs]
        plain, told = (road.run(generic_script("IRC|CI|OI"), first_runnable, tell=tell) for tell in (False, True))
        assert plain.digest == told.digest, "how much is seen of opening is no part of a schedule"
    assert len(seen[0]) == 2
    assert len(seen[1]) == len(set(seen[1])) > 20, "one for each point, none twice"


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("Balance", "books/adds-up"),
        ("Deadlock", "schedule/deadlock"),
        pytest.param("Raises", "schedule/raised", marks=pytest.mark.slow),
        pytest.param("Cached", "reads/stale-read", marks=pytest.mark.slow),
    ],
)
def test_a_planted_bug_is_found_made_smaller_and_replays_call_for_call_and_its_twin_is_clean(memory, name, identity):
    (memory / "twin").mkdir()
    (memory / "broken").mkdir()
    result = campaign(memory / "broken", name)
    assert result.verdict is Verdict.FAIL
    found = result.found[0]
    assert identity in [f"{each.identity.oracle}/{each.identity.invariant}" for each in found.findings]
    assert (found.reproduced, found.identical) == (10, 10)
    assert found.small.script.size <= found.as_found.script.size
    assert found.small.script.size <= 4
    kept = Path(found.case_dir)
    assert decode_schedule((kept / "schedule.json").read_bytes()) == found.small
    assert (kept / "evidence" / "state.db").stat().st_size
    assert "found: " in (kept / "story.txt").read_text()
    twin = campaign(memory / "twin", f"{name}Twin", 60)
    assert (twin.verdict, twin.counted.judged) == (Verdict.PASS, 60), (twin.found, twin.counted)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param(
            "Waits",
            "waits for something that is no part of the schedule for 1 s, at odd_lanes.py:",
            marks=pytest.mark.slow,
        ),
        ("Endless", "no end after 2000 points"),
        pytest.param("Stranger", "threads that take no turns use SQLite", marks=pytest.mark.slow),
        ("Alone", "nothing to interleave"),
        ("Closed", "no database today"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_by_name(memory, name, says):
    with pytest.raises(Exception, match=says) as refused:
        campaign(memory, name)
    assert name in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Sleeps", "Callback", "Threads"])
def test_sleeps_callbacks_and_threads_of_its_own_are_part_of_the_schedule(memory, name):
    result = campaign(memory, name, 12)
    assert (result.verdict, result.counted.judged) == (Verdict.PASS, 12)


@pytest.mark.slow
def test_one_schedule_that_sticks_is_told_by_number_and_the_rest_goes_on(memory):
    result = campaign(memory, "Spins", 8, strategy="bpr:4")  # which does not begin with three that stick
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.stuck
    assert all("computes and calls nothing of SQLite" in why for _, why in result.stuck)
    again = {number for number, _ in result.stuck}
    assert len(again) == len(result.stuck)
    assert result.counted.judged


def test_a_schedule_that_no_longer_fails_is_not_called_reproduced(memory):
    greeting = Greeting(GENERIC, "", str(memory / "work"), calibrate=False)
    with Explorer(greeting) as explorer:
        schedule = Schedule(
            generic_script("I|I"), (Segment(0, 5),), explorer.engine, finding="durability/acked-row-lost"
        )
        again = explorer.replay(schedule, 5)
        assert (again.alike, again.identical, again.exact) == (0, 0, False)


def test_a_lane_that_is_gone_is_a_subject_error(memory):
    greeting = Greeting("Balance", "odd_lanes:Balance", str(memory / "work"), (HERE,), calibrate=False)
    with Explorer(greeting) as explorer:
        script = generic_script("I|I|I")
        with pytest.raises(SubjectError, match="lane 'c'"):
            explorer.replay(Schedule(script, (), explorer.engine), 1)


@pytest.mark.slow
@pytest.mark.skipif(not AFFECTED, reason="this SQLite has the fix")
def test_the_wal_reset_defect_is_found_blind(memory):
    result = run_schedules(Plan(budget=Budget(120.0, 12_000)), memory)
    assert result.verdict is Verdict.FAIL
    found = result.found[0]
    assert (found.reproduced, found.identical) == (50, 50)
    assert found.small.script.size <= 6
    assert "stopped before: unfetch" in found.story, "the shrinker names the window unaided"
