import math
from random import Random

import pytest

from crashlab.decide.study.distribution import Spell, measured, over_time
from crashlab.decide.study.text import number


def test_an_age_that_grows_evenly_is_uniform_over_time():
    spells = [Spell(4.0, 4.0 * n, 4.0 * n + 4, cycle) for cycle in range(20) for n in range(15)]
    found = over_time(spells, "s", Random(1))
    assert (found.p50.value, found.p95.value, found.p99.value, found.max.value) == (30.0, 57.0, 59.4, 60.0)
    assert found.mean == 30.0
    assert found.p95.low == found.p95.high == 57.0  # all cycles are alike
    assert found.over == "300 moments of rest, 20 cycles"


def test_time_spent_weighs_and_not_the_number_of_moments():
    spells = [Spell(1.0, 0, 0, n) for n in range(90)] + [Spell(90.0, 7, 7, 90)]
    found = over_time(spells, "rows", Random(1))
    assert found.p50.value == 0  # exactly half of the time
    assert found.p95.value == 7
    assert found.mean == 3.5


def test_a_mixture_of_both_agrees_with_drawing_moments():
    rng = Random(3)
    lows = [rng.randrange(9) for _ in range(60)]
    spells = [Spell(rng.random(), low, low + rng.choice((0, 0, 3)), n // 5) for n, low in enumerate(lows)]
    drawn = [
        spell.low + rng.random() * (spell.high - spell.low)
        for spell in rng.choices(spells, [spell.weight for spell in spells], k=100_000)
    ]
    for percent, value in over_time(spells, "s", Random(1)).curve[1:-1]:
        below = sum(each < value - 1e-9 for each in drawn) / 1000
        up_to = sum(each <= value + 1e-9 for each in drawn) / 1000
        assert below - 0.6 <= percent <= up_to + 0.6


def test_cycles_that_differ_give_an_interval_and_few_give_none():
    rng = Random(5)
    spells = [Spell(1.0, 0, length, n) for n in range(40) if (length := rng.uniform(5, 15))]
    wide = over_time(spells, "s", Random(1)).p95
    assert wide.low < wide.value < wide.high
    assert over_time(spells[:7], "s", Random(1)).p95.low is None
    assert over_time(spells, "s", Random(1)) == over_time(spells, "s", Random(1))


def test_intervals_of_measured_values_hold():
    rng = Random(7)
    held = 0
    for _ in range(300):
        p95 = measured([rng.expovariate(1) for _ in range(200)], "ms", "draws").p95
        held += (p95.low or 0) <= -math.log(0.05) <= (p95.high or math.inf)
    assert held >= 278  # 95 % of 300, less three standard deviations
    assert measured([1.0, 2.0, 3.0], "ms", "draws").p95.high is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (57.0, "57"), (56.969, "57"), (0.29424, "0.294"), (1634.66, "1635"), (0.0000123, "0.0000123")],
)
def test_numbers_have_three_digits_and_no_powers(value, text):
    assert number(value) == text
    assert number(-value, sign=True) == (f"-{text}" if value else "+0")
