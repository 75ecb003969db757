"""The road of processes: identical replays, lanes of one process and of several, and locks that belong to processes."""

import os
import random
import tempfile
from pathlib import Path

import pytest

from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.explore import Budget
from crashlab.engine.schedules.faults_foreign import foreign_actors
from crashlab.engine.schedules.generic import GENERIC, generic_script
from crashlab.engine.schedules.orders import Greeting
from crashlab.engine.schedules.processes.generic import GenericProcesses
from crashlab.engine.schedules.processes.road import ProcessesRoad, process_turns
from crashlab.engine.schedules.replay import Segments
from crashlab.engine.schedules.sources import GenericSource
from crashlab.engine.schedules.strategies import parse_strategy
from crashlab.errors import SubjectError
from crashlab.model.schedule import Actor, Schedule, Script, Segment
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.library import find_library
from crashlab.writers.load import load_workload
from crashlab.writers.schedule.locks import patched_threading

ROOT = Path(__file__).parents[4]
AFFECTED = any(advisory.name == "wal-reset" for advisory in advisories_for(find_library()))
STRAY = "crashlab.gallery.controls.lanes.stray_close"
SECONDS = 60.0


@pytest.fixture
def memory():
    """A directory in memory where there is one: thousands of schedules sync."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Path(path)


@pytest.fixture
def road(memory):
    turns = process_turns()
    with patched_threading(turns), ProcessesRoad(GenericProcesses(), GENERIC, memory, turns=turns) as made:
        yield made


def explored(memory, workload, *, schedules, seed=1, steps_max=4, strategy="bpr:3", params=None):
    greeting = Greeting(
        workload or GENERIC,
        workload,
        str(memory / "explorer"),
        path=(str(ROOT),),
        road="processes",
        steps_max=steps_max,
        params=params or {},
    )
    with Explorer(greeting) as explorer:
        found = explorer.explore(strategy, seed, Budget(SECONDS, schedules))
        assert not found.stuck
        assert not found.counted.problems
        replayed = [explorer.replay(failure.schedule, 20) for failure in found.failures]
    return found, replayed


def test_a_schedule_of_processes_is_told_by_its_segments_call_for_call(road):
    strategy = parse_strategy("bpr:4")
    digests = set()
    for seed in range(6):
        script = generic_script("IC|CI|R", 4)
        first = road.run(script, strategy.decide(random.Random(seed), 90, {}))
        again = road.run(script, Segments(first.segments), tell=seed == 0)
        assert (again.segments, again.digest, again.findings) == (first.segments, first.digest, first.findings)
        assert (first.acked, first.refused, first.problem, first.actors) == (5, 0, "", 3)
        digests.add(first.digest)
        if seed == 0:
            assert [passing.actor for passing in again.course] == [segment.actor for segment in again.segments]
            assert any("lock WRITE exclusive" in passing.calls for passing in again.course)
    assert len(digests) > 3


def test_a_subject_of_one_process_is_refused_by_name(memory):
    with pytest.raises(SubjectError, match=r"all lanes of .* are in one process .*--actors threads"):
        explored(memory, "crashlab.gallery.controls.lanes.count_then_insert:Broken", schedules=1)


@pytest.mark.slow
@pytest.mark.skipif(not AFFECTED, reason="this Python's SQLite has no WAL-reset bug")
def test_the_wal_reset_bug_is_found_with_real_processes_and_replays_call_for_call(memory):
    found, replayed = explored(memory, "", schedules=20_000, strategy="bpr:4")
    assert found.failures
    identities = {str(finding.identity) for finding in found.failures[0].findings}
    assert any("wal-index" in name or "durability" in name for name in identities)
    assert found.failures[0].schedule.road == "processes"
    assert replayed[0].exact


@pytest.mark.slow
def test_a_stray_close_in_one_process_is_found_beside_another_and_its_twin_is_clean(memory):
    found, replayed = explored(memory, f"{STRAY}:Broken", schedules=2000)
    assert "lost-locks" in {finding.identity.invariant for finding in found.failures[0].findings}
    assert replayed[0].exact
    twin, _ = explored(memory, f"{STRAY}:Twin", schedules=150)
    assert not twin.failures
    assert twin.counted.judged == 150


@pytest.mark.slow
def test_the_run_ledgers_processes_run_under_it_and_meet_where_they_meet(memory, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    turns = process_turns()
    with patched_threading(turns):
        workload = load_workload("harness.workloads.run_ledger:workload")
        with ProcessesRoad(workload, "ledger", memory, turns=turns) as road:
            actors = tuple(Actor(lane, tuple(range(1000))) for lane in road.lanes({}))
            assert [actor.lane for actor in actors] == ["owner", "rival", "reaper"]
            for number in range(6):
                decide = parse_strategy("bpr:4").decide(random.Random(number), 2000, {})
                ran = road.run(Script("ledger", number, actors, {"scenes": 6}), decide)
                assert (ran.findings, ran.problem) == ((), "")
                assert ran.acked > 30


@pytest.mark.slow
def test_another_program_brings_a_sqlite_of_its_own_and_its_calls_are_points_too(memory):
    apsw = pytest.importorskip("apsw")
    kind = f"apsw={Path(apsw.__file__).parents[1]}"
    greeting = Greeting(GENERIC, "", str(memory / "explorer"), road="processes", foreign=(kind,))
    with Explorer(greeting) as explorer:
        found = explorer.explore("bpr:3", 1, Budget(SECONDS, 200))
        assert found.counted.judged == found.counted.schedules > 0
        assert not found.counted.refused
        script = GenericSource(foreign=foreign_actors((kind,))).draw(random.Random(1))
        place = next(n for n, actor in enumerate(script.actors) if actor.lane == f"foreign-{kind}")
        told = explorer.tell(Schedule(script, (Segment(place, 10**6),), explorer.engine, "processes"))
    calls = [call for passing in told.course if passing.actor == place for call in passing.calls]
    assert calls.count("lock CKPT exclusive") == 3
    assert AFFECTED or not found.failures


@pytest.mark.slow
def test_a_campaign_counts_which_faults_befell_and_which_were_missed(memory):
    greeting = Greeting(GENERIC, "", str(memory / "explorer"), road="processes")
    with Explorer(greeting) as explorer:
        found = explorer.explore("bpr:2", 1, Budget(SECONDS, 40), faults=("kill", "io:EIO"))
    counted = found.counted
    assert not found.failures
    assert counted.befell.keys() == {"kill", "io:EIO"}
    assert sum(counted.befell.values()) + counted.missed == counted.schedules == 40
    assert counted.missed < 30
