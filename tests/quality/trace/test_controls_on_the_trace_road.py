"""The controls of the real road, caught on the trace road too: every kill point of one recorded run."""

import pytest

from crashlab.gallery.controls.control import REAL_ROAD
from crashlab.gallery.controls.registry import CONTROLS
from crashlab.sqlite.tap import tap_problem
from crashlab.states.models import Model, Policy

pytestmark = pytest.mark.skipif(tap_problem() is not None, reason=f"no tap here: {tap_problem()}")

KILL = Model(Policy.KILL, states_max=3000, direct_max=200)
KILLED = [control for control in CONTROLS if REAL_ROAD in control.roads]


def names(explored):
    return {identity.partition(" · ")[0] for identity in explored.identities}


def test_there_are_controls():
    ids = {control.id for control in KILLED}
    assert {"ack-before-commit", "two-transactions", "swallowed-error", "upsert-overwrites"} <= ids


@pytest.mark.parametrize("control", KILLED, ids=lambda control: control.id)
def test_a_control_is_caught_by_its_invariants_and_its_twin_is_clean(explore, control):
    broken = explore(control.broken, KILL, params=control.params)
    assert set(control.catches) <= names(broken)
    twin = explore(control.twin, KILL, params=control.params)
    assert names(twin) == set()
    assert twin.coverage[0].distinct > 50
