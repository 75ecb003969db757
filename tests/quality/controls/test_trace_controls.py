"""The trace road sees what only it can see: a power loss, and a disk that lies."""

import msgspec
import pytest

from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.gallery.controls.control import TRACE_ROAD
from crashlab.gallery.controls.registry import CONTROLS
from crashlab.gallery.controls.run import ControlVerdict
from crashlab.gallery.controls.run_trace import run_trace_controls
from crashlab.sqlite.tap import tap_problem

MINE = tuple(control for control in CONTROLS if TRACE_ROAD in control.roads)
pytestmark = pytest.mark.skipif(tap_problem() is not None, reason=f"no tap here: {tap_problem()}")


@pytest.fixture(name="results", scope="module")
def _results():
    with Workspace() as space:
        return run_trace_controls(lambda subject, plan: TraceRoad(subject, space, plan=plan), 1)


def test_every_control_is_caught_by_its_invariant_and_every_twin_passes(results):
    assert [result.control for result in results] == [control.id for control in MINE]
    for result in results:
        assert result.verdict is ControlVerdict.CAUGHT, result.detail
        assert set(result.catches) <= set(result.found)
        assert not result.twin_found
        assert result.trials > 20
        assert result.twin_trials > 20


def test_a_blind_road_is_told():
    """A control whose defect is taken away is not caught, and says so."""
    healed = [msgspec.structs.replace(control, plan=None, broken=control.twin) for control in MINE]
    with Workspace() as space:
        results = run_trace_controls(
            lambda subject, plan: TraceRoad(subject, space, plan=plan), 1, controls=tuple(healed)
        )
    assert [result.verdict for result in results] == [ControlVerdict.MISSED] * len(MINE)


def test_a_wolf_crying_road_is_told():
    """A twin that has the defect, too, is reported as a twin that is not clean."""
    control = next(control for control in MINE if control.id == "off-power-loss")
    wolf = msgspec.structs.replace(control, twin=control.broken)
    with Workspace() as space:
        (result,) = run_trace_controls(lambda subject, plan: TraceRoad(subject, space, plan=plan), 1, controls=(wolf,))
    assert result.verdict is ControlVerdict.TWIN_NOT_CLEAN
