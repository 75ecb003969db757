"""A batch of crash states as one trial: what it counts, what it finds, and that it leaves nothing behind."""

from pathlib import Path

import pytest

from crashlab.engine.recordings import IDLE_MAX
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.sqlite.tap import tap_problem

pytestmark = pytest.mark.skipif(tap_problem() is not None, reason="SQLite cannot be tapped here")
WORKLOADS = Path(__file__).parents[1] / "writers"


def case(seed, fault="states@kill#40"):
    return Case("s", seed, fault, steps_max=4)


@pytest.fixture
def road(workspace, tmp_path):
    road = TraceRoad(Subject("s", "plain_workload:plain", (str(WORKLOADS),)), workspace, keep=tmp_path / "cases")
    yield road
    road.close()


def test_a_long_campaign_keeps_few_recordings_and_nothing_else(road, workspace):
    first = [road.run(case(seed), f"t-{seed}") for seed in range(IDLE_MAX + 3)]
    assert {outcome.verdict for outcome in first} == {Verdict.PASS}
    assert all(outcome.states.generated >= 40 > outcome.states.failed == 0 for outcome in first)
    left = [entry for entry in workspace.root.iterdir() if entry.is_dir()]
    assert len(left) == IDLE_MAX  # recordings that another batch of the same run may still want
    again = road.run(case(0), "t-0")
    assert (again.verdict, again.states, again.acked) == (first[0].verdict, first[0].states, first[0].acked)


def test_a_batch_is_for_the_trace_road_alone(make_road):
    outcome = make_road().run(case(1), "t")
    assert outcome.verdict is Verdict.ERROR
    assert "a batch of states is for the trace road" in outcome.error
