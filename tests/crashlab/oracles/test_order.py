import pytest

from crashlab.oracles import order
from crashlab.oracles.evidence import EXAMPLES_MAX


@pytest.mark.parametrize("kept", range(6))
def test_any_prefix_of_a_lane_is_in_order(lab, kept):
    for k in range(5):
        lab.step({k: k})
    assert list(order.judge(lab.view({k: k for k in range(kept) if k < 5}))) == []
    assert lab.judge({k: k for k in range(min(kept, 5))}, contract=lab.PREFIX) == set()


def test_a_gap_in_a_lane(lab):
    for k in range(5):
        lab.step({k: k})
    assert lab.judge({0: 0, 1: 1, 3: 3}, contract=lab.PREFIX) == {"order/lane-gap"}
    assert lab.judge({0: 0, 1: 1, 3: 3}) == {"order/lane-gap", "durability/acked-row-lost"}
    (finding,) = order.judge(lab.view({0: 0, 1: 1, 3: 3}, contract=lab.PREFIX))
    assert finding.evidence["steps"] == 1
    assert finding.evidence["examples"] == [{"missing": "main#2 (acked)", "there": "main#3 (acked)"}]


def test_a_gap_below_an_unacked_step_that_is_there(lab):
    lab.step({1: 1})
    lab.step({2: 2}, state=lab.OPEN)
    assert lab.judge({}, contract=lab.PREFIX) == set()
    assert lab.judge({2: 2}, contract=lab.PREFIX) == {"order/lane-gap"}


def test_a_gap_across_lanes(lab):
    lab.step({1: 1}, lane="one")
    lab.step({2: 2}, lane="two")
    assert lab.judge({1: 1}, contract=lab.PREFIX) == set()
    assert lab.judge({2: 2}, contract=lab.PREFIX) == {"order/cross-lane-gap"}


def test_overlapping_steps_have_no_order(lab):
    one = lab.begin({1: 1}, lane="one")
    two = lab.begin({2: 2}, lane="two")
    lab.end(one)
    lab.end(two)
    for rows in ({}, {1: 1}, {2: 2}):
        assert lab.judge(rows, contract=lab.PREFIX) == set()


def test_a_gap_across_processes_goes_by_the_clock(lab):
    lab.step({1: 1})
    lab.step({2: 2}, process=1)
    assert lab.judge({2: 2}, contract=lab.PREFIX) == {"order/cross-lane-gap"}


def test_a_refused_step_may_be_missing_below_a_later_one(lab):
    lab.step({1: 1}, state=lab.REFUSED)
    lab.step({2: 2})
    assert lab.judge({2: 2}) == lab.judge({1: 1, 2: 2}) == set()


def test_a_step_that_was_written_over_is_no_gap(lab):
    lab.step({1: "a"})
    lab.step({1: "b"})
    lab.step({2: "c"})
    assert lab.judge({1: "b", 2: "c"}, contract=lab.PREFIX) == set()
    assert lab.judge({1: "a", 2: "c"}, contract=lab.PREFIX) == {"order/lane-gap"}


def test_a_row_inserted_and_deleted_tells_nothing(lab):
    lab.step({1: "a"})
    lab.step({1: None})
    lab.step({2: "c"})
    assert lab.judge({2: "c"}, contract=lab.PREFIX) == set()
    assert lab.judge({1: "a", 2: "c"}, contract=lab.PREFIX) == {"order/lane-gap"}


def test_the_same_value_twice_is_never_guessed(lab):
    lab.step({1: "a"})
    lab.step({1: "a"})
    lab.step({2: "c"})
    for rows in ({}, {1: "a"}, {1: "a", 2: "c"}):
        assert lab.judge(rows, contract=lab.PREFIX) == set()
    assert lab.judge({2: "c"}, contract=lab.PREFIX) == {"order/lane-gap"}


def test_both_kinds_of_gap_and_bounded_evidence(lab):
    for k in range(40):
        lab.step({k: k}, lane="one")
    lab.step({"two": 1}, lane="two")
    lab.step({"one": 1}, lane="one")
    lab.step({"three": 1}, lane="three")
    lab.step({"four": 1}, lane="four")
    found = list(order.judge(lab.view({"one": 1, "four": 1}, contract=lab.PREFIX)))
    assert [finding.identity.invariant for finding in found] == ["lane-gap", "cross-lane-gap"]
    assert found[0].evidence["steps"] == 40
    assert len(found[0].evidence["examples"]) == EXAMPLES_MAX
    assert found[1].evidence["steps"] == 2


def test_where_nothing_is_promised_nothing_is_judged(lab):
    lab.step({1: 1})
    lab.step({2: 2})
    assert lab.judge({2: 2}, contract=lab.NOTHING) == set()
    assert lab.judge({2: 2}, refused="x", contract=lab.PREFIX) == {"restart/refused"}
