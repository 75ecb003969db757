"""Effects: intervals of published examples, and how often they hold."""

import random

import pytest

from crashlab.decide.effects import difference_of_shares, quantile_ranks, wilson_interval
from crashlab.decide.statistics import _at_most


def test_published_examples():
    """Newcombe (1998), table II, method 10; Wilson's interval of 81 in 263, same author's other paper."""
    effect = difference_of_shares((48, 80), (56, 70))
    assert (round(effect.value, 4), round(effect.low, 4), round(effect.high, 4)) == (0.2, 0.0524, 0.3339)
    effect = difference_of_shares((0, 20), (0, 10))
    assert (round(effect.low, 4), round(effect.high, 4)) == (-0.1611, 0.2775)
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_nothing_known_is_said():
    assert difference_of_shares((0, 0), (3, 5)) == (0.0, -1.0, 1.0)
    assert not difference_of_shares((0, 3), (1, 3)).clear
    assert difference_of_shares((0, 300), (100, 300)).clear
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert quantile_ranks(0, 50) == (None, None)
    assert quantile_ranks(5, 50) == (None, None)
    assert quantile_ranks(6, 50) == (1, 6)
    assert quantile_ranks(100, 95) == (90, 100)
    assert quantile_ranks(72, 95)[1] == 72
    assert quantile_ranks(71, 95)[1] is None
    assert quantile_ranks(1_000_000, 99)[0] < 990_000 < quantile_ranks(1_000_000, 99)[1]
    for values, percent in ((30_001, 99.0), (601, 50.0), (6001, 95.0)):  # the normal ranks hold the exact ones
        low, high = quantile_ranks(values, percent)
        share = percent / 100
        assert _at_most(low - 1, values, share) <= 0.025
        assert _at_most(high - 1, values, share) >= 0.975
    for bad in ((-1, 50.0), (5, 0.0), (5, 100.0)):
        with pytest.raises(ValueError, match="values"):
            quantile_ranks(*bad)


def test_a_percentile_is_inside_its_ranks_as_often_as_promised():
    rng = random.Random(7)
    for n, percent in ((30, 50.0), (200, 95.0), (500, 99.0)):
        low, high = quantile_ranks(n, percent)
        runs = 400
        held = 0
        for _ in range(runs):
            values = sorted(rng.random() for _ in range(n))
            above = high is None or values[high - 1] >= percent / 100
            held += values[low - 1] <= percent / 100 and above
        assert held / runs > 0.92
