"""The trace road on databases of every kind: page sizes, encodings, auto-vacuum, ATTACH, rollback journals."""

from pathlib import Path

import pytest

from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case
from crashlab.sqlite.tap import tap_problem
from crashlab.states.models import Model, Policy

HERE = (str(Path(__file__).parent),)
MODELS = tuple(Model(policy, states_max=1500, direct_max=80) for policy in (Policy.KILL, Policy.SUBSET, Policy.TORN))
pytestmark = pytest.mark.skipif(tap_problem() is not None, reason=f"no tap here: {tap_problem()}")


def explore(workload, **params):
    with Workspace() as space:
        road = TraceRoad(Subject("kinds", f"kinds_of_databases:{workload}", HERE, params), space)
        try:
            return road.explore(Case("kinds", 1, "none"), MODELS, seconds=60)
        finally:
            road.close()


@pytest.mark.parametrize(
    "params",
    [
        {"page_size": 512},
        {"page_size": 65536},
        {"encoding": "UTF-16le"},
        {"auto_vacuum": "FULL"},
        {"attach": True},
        {"synchronous": "NORMAL"},
        {"journal_mode": "DELETE", "synchronous": "EXTRA"},
        {"journal_mode": "PERSIST", "synchronous": "EXTRA"},
        {"journal_mode": "TRUNCATE", "synchronous": "EXTRA"},
    ],
    ids=lambda params: "-".join(f"{value}" for value in params.values()),
)
def test_an_honest_program_survives_every_crash_state(params):
    explored = explore("kinds", **params)
    assert explored.failures == 0, explored.identities
    assert explored.undone_last == 0
    assert explored.judged > 30
    assert explored.steps_acked == 12


def test_with_a_rollback_journal_at_full_the_last_commit_alone_may_come_back_undone():
    explored = explore("kinds", journal_mode="DELETE")
    assert explored.failures == 0, explored.identities
    assert explored.undone_last > 0


def test_a_rollback_journal_without_syncs_is_found():
    explored = explore("promises_too_much", journal_mode="DELETE", synchronous="OFF")
    assert explored.failures > 0
    assert any(name.startswith(("durability/", "integrity/")) for name in explored.identities)
