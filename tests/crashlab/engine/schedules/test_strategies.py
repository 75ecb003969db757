"""Strategies as text, and what they draw."""

import random

import pytest

from crashlab.engine.schedules.generic import draw_generic
from crashlab.engine.schedules.strategies import parse_strategy
from crashlab.errors import UsageError
from crashlab.model.seed import rng_for
from crashlab.writers.schedule.decide import Why


@pytest.mark.parametrize("text", ["bpr:2", "bpr:4", "pct:3", "sticky:5", "rare:3", "exhaustive:1"])
def test_a_strategy_is_its_text(text):
    assert str(parse_strategy(text)) == text


def test_without_a_number_it_has_its_usual_one():
    assert [str(parse_strategy(kind)) for kind in ("bpr", "pct", "sticky", "rare")] == [
        "bpr:3",
        "pct:3",
        "sticky:5",
        "rare:3",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bprr", "did you mean 'bpr'"),
        ("bpr:99", "bpr:0 to bpr:20"),
        ("pct:x", "pct:1 to pct:20"),
        ("", "expected one of"),
        ("sticky:٣", "sticky:1"),
    ],
)
def test_a_wrong_one_is_refused_by_what_was_expected(text, says):
    with pytest.raises(UsageError, match=says):
        parse_strategy(text)


@pytest.mark.parametrize("preemptions", [0, 1, 2, 3, 4])
def test_bounded_preemption_preempts_at_most_so_often_and_where_it_drew(preemptions):
    for seed in range(200):
        decide = parse_strategy(f"bpr:{preemptions}").decide(random.Random(seed), 100, {})
        runnable, points, at = [0, 1, 2], 0, []
        actor, calls, _ = decide(Why.START, -1, 0, 0, runnable)
        while calls < 1000:
            points += calls
            at.append(points)
            before = actor
            actor, calls, _ = decide(Why.POINT, before, 0, points, runnable)
            assert actor != before
        assert len(at) <= preemptions
        assert all(0 <= point < 100 for point in at)


def test_what_is_drawn_is_within_its_bounds_and_each_lane_ends_with_an_insert_where_there_is_one():
    words = [str(draw_generic(rng_for(n, "drawn")).params["programs"]).split("|") for n in range(300)]
    assert {len(each) for each in words} == {2, 3, 4}
    assert {len(word) for each in words for word in each} == {1, 2, 3, 4}
    assert {letter for each in words for word in each for letter in word} == set("IRC")
    assert all(word.endswith("I") for each in words for word in each)
    assert {draw_generic(rng_for(n, "drawn")).params["autocheckpoint"] for n in range(50)} == {1, 4, 1000}
    assert set(str(draw_generic(rng_for(1, "drawn"), "RO").params["programs"])) <= set("RO|")
