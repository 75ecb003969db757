import random
import re
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crashlab.decide.statistics import (
    binomial_interval,
    format_rate,
    percentile,
    upper_bound,
    zero_failure_bound,
)


def exactly_at_most(count, trials, rate):
    """The binomial sum in whole fractions: no rounding at all."""
    p = Fraction(rate)
    return float(sum(comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(count + 1)))


def test_the_rule_of_three():
    assert zero_failure_bound(3000) == pytest.approx(1 - 0.05 ** (1 / 3000))
    assert zero_failure_bound(3000) == pytest.approx(3 / 3000, rel=0.01)
    assert zero_failure_bound(0) == 1.0
    assert zero_failure_bound(1) == pytest.approx(0.95)


@pytest.mark.parametrize("trials", [1, 2, 7, 20, 60])
def test_intervals_against_exact_binomial_sums(trials):
    for failures in range(trials + 1):
        low, high = binomial_interval(failures, trials)
        assert 0 <= low <= failures / trials <= high <= 1
        if failures:
            assert 1 - exactly_at_most(failures - 1, trials, low) == pytest.approx(0.025, rel=1e-6)
        else:
            assert low == 0
        if failures < trials:
            assert exactly_at_most(failures, trials, high) == pytest.approx(0.025, rel=1e-6)
            bound = upper_bound(failures, trials)
            assert exactly_at_most(failures, trials, bound) == pytest.approx(0.05, rel=1e-6)
        else:
            assert high == upper_bound(failures, trials) == 1


def test_many_trials_stay_exact_and_quick():
    # Far from any table: against the normal approximation, which is good to a percent here.
    low, high = binomial_interval(500_000, 1_000_000)
    assert high - 0.5 == pytest.approx(1.959964 * 0.0005, rel=1e-3)
    assert 0.5 - low == pytest.approx(1.959964 * 0.0005, rel=1e-3)
    assert upper_bound(1, 100_000) == pytest.approx(4.7439 / 100_000, rel=1e-4)  # Poisson limit


def test_the_interval_covers_the_truth_as_often_as_it_says():
    randomness = random.Random(12)
    covered = 0
    for _ in range(400):
        truth = randomness.random()
        failures = sum(randomness.random() < truth for _ in range(50))
        low, high = binomial_interval(failures, 50)
        covered += low <= truth <= high
    assert covered >= 0.95 * 400 - 9


@pytest.mark.parametrize("bad", [(1, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(bad):
    for function in (binomial_interval, upper_bound, format_rate):
        with pytest.raises(ValueError, match="expected 0 <= failures <= trials"):
            function(*bad)
    with pytest.raises(ValueError, match="outside"):
        binomial_interval(1, 2, 1.0)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([1], 99, 1),
        ([1, 2], 50, 1.5),
        ([4, 1, 3, 2], 0, 1),
        ([4, 1, 3, 2], 100, 4),
        (list(range(101)), 95, 95),
        ([1, 2, 3, 4], 25, 1.75),
    ],
)
def test_percentile(values, percent, expected):
    assert percentile(values, percent) == pytest.approx(expected)


def test_percentile_agrees_with_numpy():
    numpy = pytest.importorskip("numpy")
    randomness = random.Random(5)
    values = [randomness.gauss(0, 1) for _ in range(237)]
    for percent in (0, 1, 50, 95, 99.9, 100):
        assert percentile(values, percent) == pytest.approx(float(numpy.percentile(values, percent)))


def test_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
    with pytest.raises(ValueError, match=r"outside 0\.\.100"):
        percentile([1], 101)


@pytest.mark.parametrize(
    ("failures", "trials", "text"),
    [
        (0, 3000, "0/3000, 95 % upper bound 0.10 %"),
        (0, 0, "0/0, nothing is known"),
        (3, 20, "3/20 = 15 %, 95 % interval 3.2-38 %"),
        (5, 5, "5/5, 95 % lower bound 54 %"),
    ],
)
def test_format_rate(failures, trials, text):
    assert format_rate(failures, trials) == text


@given(st.integers(1, 10**7), st.data())
@settings(max_examples=100, deadline=None)
def test_no_rate_is_ever_printed_as_certain(trials, data):
    failures = data.draw(st.one_of(st.sampled_from([0, trials]), st.integers(0, min(trials, 1000))))
    text = format_rate(failures, trials)
    level = re.compile("95 % (?=upper|lower|interval)")
    numbers = [
        float(found)
        for found in re.findall(
            r"[\d.]+(?= %|-)",
            level.sub("", text.split(" ", 1)[1]),
        )
    ]
    assert numbers
    for number in numbers:
        assert 0 < number < 100
