"""The store's actors and the ledger's roles in many orders: the good ones pass, the broken ones are found."""

import sys
from pathlib import Path

import pytest

from crashlab.decide.statistics import zero_failure_bound
from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.explore import Budget
from crashlab.engine.schedules.orders import Greeting
from crashlab.engine.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="schedules need the tap")]
ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "harness.workloads.actors:workload": 4,
    "harness.workloads.actors:paper": 12,
    "harness.workloads.run_ledger.lanes:workload": 6,
}
BROKEN = {
    "lane_subjects:two_snapshots": ("books/dashboard-reads", 4),
    "lane_subjects:cancel_overwrites": ("books/", 6),
    "lane_subjects:count_then_insert": ("books/cap-holds", 6),
}


def explored(workload: str, steps: int, budget: Budget):
    path = (str(Path(__file__).parent), str(ROOT))
    with (
        Workspace() as space,
        Explorer(Greeting("s", workload, str(space.make_run()), path, steps_max=steps)) as explorer,
    ):
        return explorer.explore("bpr:4", 1, budget)


@pytest.mark.parametrize("workload", GOOD)
def test_the_good_lanes_pass_in_any_order(workload):
    found = explored(workload, GOOD[workload], Budget(20.0, schedules=300))
    count = found.counted.judged
    print(f"{workload}: 0/{count}, at 95 % below {100 * zero_failure_bound(count):.1f} %")
    assert not found.failures, found.failures[0].findings
    assert not found.stuck
    assert not found.counted.problems
    assert count >= 20


@pytest.mark.parametrize("workload", BROKEN)
def test_the_broken_ones_are_found(workload):
    check, steps = BROKEN[workload]
    found = explored(workload, steps, Budget(40.0))
    assert found.failures, f"nothing in {found.counted.judged} schedules"
    names = {f"{each.identity.oracle}/{each.identity.invariant}" for each in found.failures[0].findings}
    print(f"{workload}: {sorted(names)} in schedule {found.failures[0].number}")
    assert any(name.startswith(check) for name in names), names
