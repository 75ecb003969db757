"""A real kill leaves what the log of the killed process says, to the byte; a bridge that doesn't hold says so."""

import sys
from pathlib import Path

import pytest

from crashlab.engine.bridge import bridge
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, UsageError
from crashlab.model.case import Case

HERE = Path(__file__).parent
PATH = (str(HERE), str(HERE.parent / "writers"))
CHECKPOINTS = {"steps": 30, "checkpoint_every": 7}

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="calls the C library's own file functions")


@pytest.fixture(scope="module")
def cross():
    slots = {}
    with Workspace() as workspace:

        def run(workload, points, *, params=None, outside=0, seed=5):
            mine = slots.setdefault(workload, Slots(Subject("crossed", workload, PATH)))
            return bridge(mine, workspace, Case("crossed", seed, "none", params or {}), points, outside=outside)

        yield run
        for mine in slots.values():
            mine.close()


def test_a_wal_and_its_checkpoints(cross):
    bridged = cross("plain_workload:plain", 60, params=CHECKPOINTS, outside=12)
    bridged.require_equal()
    assert bridged.points == bridged.equal == bridged.prefixes == bridged.prefixes_equal == 60
    assert bridged.outside == bridged.outside_equal
    assert bridged.outside + bridged.missed == 12
    assert bridged.threads == 1
    assert {"wal.write torn", "wal.write before", "wal.write after", "main.write torn"} <= set(bridged.kinds)
    assert sum(bridged.kinds.values()) == 60


@pytest.mark.parametrize("journal", ["delete", "truncate", "persist"])
def test_rollback_journals_and_files_that_shrink(cross, journal):
    bridged = cross("crossing_workloads:Rollback", 20, params={"steps": 8, "journal": journal})
    bridged.require_equal()
    assert bridged.points == bridged.prefixes_equal == 20
    assert any(kind.startswith("journal.write") for kind in bridged.kinds)


def test_two_threads_have_no_other_run_to_be_compared_with(cross):
    bridged = cross("odd_workloads:TwoLanes", 10, params={"steps": 20}, outside=5)
    assert (bridged.threads, bridged.prefixes) == (2, 0)
    assert bridged.points == bridged.equal > 0
    assert not bridged.differences


@POSIX
def test_a_recording_that_misses_writes_is_no_bridge(cross):
    with pytest.raises(LabError, match=r"past the tap"):
        cross("crossing_workloads:PastTheTap", 5)


@POSIX
def test_a_write_past_the_tap_is_seen_where_only_a_kill_can_show_it(cross):
    bridged = cross("crossing_workloads:PastTheTapForAWhile", 30, params={"steps": 10})
    assert bridged.points > bridged.equal > 0
    assert bridged.differences
    assert bridged.differing[0].files[0].startswith("state.db-wal: ")
    with pytest.raises(LabError, match=r"differences.*state\.db-wal"):
        bridged.require_equal()


def test_runs_that_are_not_alike_differ_from_each_other_but_not_from_their_own_logs(cross):
    bridged = cross("crossing_workloads:Unseeded", 12, params={"steps": 10})
    assert bridged.points == bridged.equal
    assert bridged.prefixes > bridged.prefixes_equal
    assert {difference.against for difference in bridged.differing} == {"other run"}


def test_a_run_that_breaks_of_itself_is_an_error(cross):
    with pytest.raises(LabError, match="ended by exited 3"):
        cross("crossing_workloads:Breaks", 5)


@pytest.mark.parametrize(("points", "outside"), [(0, 0), (5, -1), (10**9, 0)])
def test_points_out_of_range_are_refused(cross, points, outside):
    with pytest.raises(UsageError, match="bridge: points="):
        cross("plain_workload:plain", points, outside=outside)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("workload", "params"),
    [
        ("plain_workload:plain", {"steps": 80, "checkpoint_every": 17}),
        ("crossing_workloads:Rollback", {"steps": 15, "journal": "delete"}),
        ("crossing_workloads:Rollback", {"steps": 15, "journal": "persist"}),
    ],
)
def test_a_thousand_kills_of_a_workload(cross, workload, params):
    bridged = cross(workload, 1000, params=params, outside=300)
    print(bridged)
    bridged.require_equal()
    assert bridged.points == bridged.equal == bridged.prefixes_equal == 1000
    assert bridged.outside == bridged.outside_equal > 100
    assert bridged.unfinished > 5
