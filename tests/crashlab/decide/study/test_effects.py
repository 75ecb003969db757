"""An effect has an interval that holds, and none is made of nothing."""

from random import Random

import pytest

from crashlab.decide.study.axes import Cell
from crashlab.decide.study.distribution import Spell, over_time
from crashlab.decide.study.effects import compare_counts, compare_over_time, compare_samples

PASSIVE = Cell({"mode": "PASSIVE", "reader": "none"}, {}, 1.0)
TRUNCATE = Cell({"mode": "TRUNCATE", "reader": "none"}, {}, 1.0)
FAR = Cell({"mode": "TRUNCATE", "reader": "pinned"}, {}, 1.0)


def draws(rng, scale, rounds=3, n=60):
    return [[rng.expovariate(1 / scale) for _ in range(n)] for _ in range(rounds)]


def test_a_ratio_s_interval_has_the_true_ratio_most_of_the_time():
    rng = Random(11)
    held = 0
    for _ in range(100):
        found = compare_samples(
            "checkpoint", "p50", (PASSIVE, draws(rng, 2.0)), (TRUNCATE, draws(rng, 5.0)), "ms", Random(1)
        )
        held += found.low <= 2.5 <= found.high
    assert held >= 88  # 95 of 100, less three standard deviations
    assert (found.relation, found.differs, found.n_a) == ("ratio", "mode", 180)
    assert "mode TRUNCATE" in found.text


def test_too_few_values_and_cells_that_differ_in_two_axes_are_not_compared():
    few = [[1.0, 2.0]]
    many = [[1.0, 2.0] * 20]
    assert compare_samples("checkpoint", "p95", (PASSIVE, few), (TRUNCATE, many), "ms", Random(1)) is None
    assert compare_samples("checkpoint", "p95", (PASSIVE, many), (FAR, many), "ms", Random(1)) is None
    assert compare_counts("lost", (PASSIVE, 0, 0), (TRUNCATE, 0, 9)) is None


def test_no_loss_on_either_side_still_has_an_interval():
    found = compare_counts("lost", (PASSIVE, 0, 40), (TRUNCATE, 0, 40))
    assert found.value == 0
    assert -0.1 < found.low < 0 < found.high < 0.1


@pytest.mark.parametrize(("cycles", "known"), [(40, True), (3, False)])
def test_a_difference_over_time_has_an_interval_where_both_sides_have_one(cycles, known):
    rng = Random(3)
    short, long = (
        over_time([Spell(1.0, 0, rng.uniform(0.5, 1.5) * length, n) for n in range(cycles)], "s", Random(1))
        for length in (10, 60)
    )
    found = compare_over_time("exposure", "p95", (PASSIVE, short), (TRUNCATE, long))
    assert found.value > 20
    assert (found.low is not None and 0 < found.low < found.value < found.high) is known
    assert ("no interval" in found.text) is not known
