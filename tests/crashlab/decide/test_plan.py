"""The plan: one seed, one list of cases; a field's draw never shifts another's."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from crashlab.decide.config import GateConfig, load_config
from crashlab.decide.plan import REQUIRED_PHASES, draw_cell, phase_cases, plan_cases, reachable
from crashlab.faults.fault import parse_fault
from crashlab.model.phase import Phase
from crashlab.writers.order import Moment, OnHangUp

GRID = GateConfig(
    trials=800,
    acks_max=40,
    grid={"interval": [0, 0.05, 0.5], "reader": ["none", "pinned"], "auto": [1000, 0]},
    weights={"interval": [1, 4, 1], "reader": [3, 1]},
    unreachable={"checkpoint": {"interval": 0}},
)


def with_(gate, **changes):
    return msgspec.structs.replace(gate, **changes)


def plan(gate=GRID, seed=1, **more):
    return list(plan_cases(gate, "app", seed, **more))


def kind_of(case):
    kind, _, rest = case.fault.partition("@")
    return rest.partition("=")[2].partition("#")[0] if rest.startswith("phase=") else kind


def test_the_same_seed_gives_the_same_bytes():
    first, second = (b"\n".join(case.encode() for case in plan()) for _ in range(2))
    assert first == second
    assert b"\n".join(case.encode() for case in plan(seed=2)) != first


def test_the_plan_does_not_change_from_version_to_version():
    """A seed in a report means something next year, too: these are written down, not computed."""
    assert [(case.fault, case.params["interval"], case.params["reader"]) for case in plan()[:4]] == [
        ("kill@ack#21 delay=71us", 0.05, "none"),
        ("kill@ack#8 delay=72us", 0.05, "none"),
        ("hangup@ack#4 on=print grace=14ms", 0.05, "none"),
        ("kill@phase=commit#3 delay=19us", 0, "none"),
    ]


def test_a_longer_plan_begins_like_a_shorter_one():
    assert plan(with_(GRID, trials=50)) == plan()[:50]


def test_every_case_is_one_of_a_kind():
    assert len({case.case_id for case in plan()}) == GRID.trials


@pytest.mark.parametrize(
    "changed",
    [
        with_(GRID, acks_max=7),
        with_(GRID, grid={**GRID.grid, "new": [1, 2, 3]}),
        with_(GRID, grid={**GRID.grid, "auto": [1, 2, 3, 4]}),
        with_(GRID, weights={**GRID.weights, "auto": [1, 9]}),
    ],
    ids=["acks_max", "one more parameter", "other values of a parameter", "other weights of a parameter"],
)
def test_drawing_one_field_never_shifts_another(changed):
    before, after = plan(), plan(changed)
    assert [case.seed for case in before] == [case.seed for case in after]
    for field in ("interval", "reader"):
        assert [case.params[field] for case in before] == [case.params[field] for case in after]
    assert [kind_of(case) for case in before] == [kind_of(case) for case in after]
    if changed.acks_max == GRID.acks_max:
        assert [case.fault for case in before] == [case.fault for case in after]


def test_without_a_terminal_there_are_no_hang_ups_and_every_cell_stays():
    with_terminal, without = plan(), plan(hangup=False)
    assert "hangup" in {kind_of(case) for case in with_terminal}
    assert "hangup" not in {kind_of(case) for case in without}
    assert [case.params for case in with_terminal] == [case.params for case in without]


def test_the_plan_aims_at_everything_a_gate_asks_for():
    counts = Counter(kind_of(case) for case in plan())
    assert set(counts) == {"none", "kill", "hangup", *(phase.value for phase in REQUIRED_PHASES)}
    assert min(counts.values()) >= 5
    faults = [parse_fault(case.fault) for case in plan()]
    assert [str(fault) for fault in faults] == [case.fault for case in plan()], "the canonical form"
    assert {fault.hangup().on for fault in faults if fault.hangup()} == set(OnHangUp)
    acks = [fault.trigger().n for fault in faults if fault.trigger() and fault.trigger().moment is Moment.ACK]
    assert 1 <= min(acks) <= 3
    assert 38 <= max(acks) <= GRID.acks_max


def test_weights_are_kept():
    counts = Counter(case.params["interval"] for case in plan(with_(GRID, trials=3000)))
    assert sum(counts.values()) == 3000
    # 1 : 4 : 1 of 3000; 5 standard deviations of the binomial are about 130.
    assert abs(counts[0.05] - 2000) < 130
    assert abs(counts[0] - 500) < 105


def test_a_weight_of_zero_is_never_drawn():
    gate = with_(GRID, weights={"reader": [0, 1]})
    assert {case.params["reader"] for case in plan(gate)} == {"pinned"}


def test_no_kill_is_wasted_on_a_phase_that_its_cell_cannot_reach():
    aimed = [case for case in plan() if kind_of(case) == "checkpoint"]
    assert aimed
    assert all(case.params["interval"] != 0 for case in aimed)
    assert not reachable(GRID, Phase.CHECKPOINT, {"interval": 0})
    assert reachable(GRID, Phase.CHECKPOINT, {"interval": 0.05})
    assert reachable(GRID, Phase.COMMIT, {"interval": 0})


@pytest.mark.parametrize("phase", REQUIRED_PHASES)
def test_more_cases_for_one_phase(phase):
    more = list(phase_cases(GRID, "app", 1, phase, 60))
    assert {kind_of(case) for case in more} == {phase.value}
    assert 20 < len(more) <= 60
    assert all(reachable(GRID, phase, case.params) for case in more)
    assert more == list(phase_cases(GRID, "app", 1, phase, 60))
    assert not {case.seed for case in more} & {case.seed for case in plan()}


def test_a_cell_has_a_value_for_each_parameter():
    cell = draw_cell(GRID, 5)
    assert set(cell) == set(GRID.grid)
    assert all(cell[name] in values for name, values in GRID.grid.items())
    assert draw_cell(GateConfig(), 5) == {}


def test_the_gate_of_this_repository_aims_most_at_the_short_cadences():
    gate = load_config(Path(__file__).parents[3] / "crashlab.toml").gate
    cells = Counter(case.params["checkpoint_interval_s"] for case in plan(gate))
    assert set(cells) == {0, 0.05, 0.1, 0.5}
    assert cells[0.05] + cells[0.1] > 2 * (cells[0] + cells[0.5])
