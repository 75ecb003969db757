"""Every planted bug of several lanes is found blind within 30 s, at several seeds; its twin is clean meanwhile."""

import pytest

from crashlab.decide.statistics import zero_failure_bound
from crashlab.engine.workspace import Workspace
from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes.registry import LANE_CONTROLS
from crashlab.gallery.controls.run import ControlVerdict
from crashlab.gallery.controls.run_schedules import run_lane_control

SEEDS = (1, 2, 3)
WITHIN_S = 30.0
TWIN_SCHEDULES = 200
ROADS = {"stray-close": "processes", "unlinked-wal": "processes"}  # both need somebody else's process


@pytest.fixture
def scratch():
    with Workspace() as workspace:
        yield workspace.make_run()


@pytest.mark.slow
@pytest.mark.parametrize("control", LANE_CONTROLS, ids=lambda control: control.id)
def test_it_is_found_blind_within_30_s_and_its_twin_is_clean(control, scratch):
    road, twins = ROADS.get(control.id, "threads"), 0
    for seed in SEEDS:
        result = run_lane_control(control, scratch, seed, seconds=WITHIN_S, road=road, twin_schedules=TWIN_SCHEDULES)
        print(f"{control.id}, seed {seed}: {result.detail} ({result.seconds:.1f} s)")
        assert result.verdict is ControlVerdict.CAUGHT, result
        assert set(control.catches) <= set(result.found)
        assert result.twin_trials >= max(result.trials, TWIN_SCHEDULES)
        twins += result.twin_trials
    print(f"{control.id}: twin 0/{twins}, at 95 % below {100 * zero_failure_bound(twins):.2f} %")


@pytest.mark.slow
def test_a_lab_that_is_blind_cries_wolf_or_cannot_run_it_is_told(scratch):
    count = next(control for control in LANE_CONTROLS if control.id == "count-then-insert")
    swapped = Control(count.id, count.title, count.twin, count.broken, count.catches, count.why)
    blind = run_lane_control(swapped, scratch, 1, seconds=1.0, twin_schedules=200)
    assert blind.verdict is ControlVerdict.TWIN_NOT_CLEAN, blind
    alone = Control(count.id, count.title, count.twin, count.twin, count.catches, count.why)
    missed = run_lane_control(alone, scratch, 1, seconds=1.0)
    assert missed.verdict is ControlVerdict.MISSED
    assert "did not find it in" in missed.detail
    nowhere = Control(count.id, count.title, "no_such_module:x", count.twin, count.catches, count.why)
    assert run_lane_control(nowhere, scratch, 1, seconds=1.0).verdict is ControlVerdict.ERROR
