import pytest

from crashlab.oracles import atomicity


@pytest.mark.parametrize("state", ["OPEN", "REFUSED"])
def test_an_unacked_step_is_whole_or_absent(lab, state):
    lab.step({1: "a", 2: "b"}, state=getattr(lab, state))
    assert lab.judge({}) == lab.judge({1: "a", 2: "b"}) == set()
    assert lab.judge({1: "a"}) == lab.judge({2: "b"}) == {"atomicity/torn-step"}
    assert lab.judge({1: "a"}, contract=lab.PREFIX) == {"atomicity/torn-step"}
    assert lab.judge({1: "a"}, contract=lab.NOTHING) == set()


def test_half_of_an_acked_step_is_torn_and_lost(lab):
    lab.step({1: "a", 2: "b"})
    assert lab.judge({2: "b"}) == {"atomicity/torn-step", "durability/acked-row-lost"}
    assert lab.judge({2: "b"}, contract=lab.PREFIX) == {"atomicity/torn-step"}


def test_half_an_update(lab):
    lab.step({1: "a", 2: "a"})
    lab.step({1: "b", 2: "b"}, state=lab.OPEN)
    assert lab.judge({1: "a", 2: "a"}) == lab.judge({1: "b", 2: "b"}) == set()
    assert lab.judge({1: "b", 2: "a"}) == lab.judge({1: "a", 2: "b"}) == {"atomicity/torn-step"}


def test_half_a_move_from_one_key_to_another(lab):
    """The delete happened and the insert did not: only because the row must be there is that known."""
    lab.step({1: "a"})
    lab.step({1: None, 2: "a"}, state=lab.OPEN)
    assert lab.judge({1: "a"}) == lab.judge({2: "a"}) == set()
    assert lab.judge({1: "a", 2: "a"}) == {"atomicity/torn-step"}
    assert lab.judge({}) == {"atomicity/torn-step"}
    assert lab.judge({}, contract=lab.PREFIX) == set()  # the first step may be gone as well


def test_effects_that_a_later_step_covers_say_nothing(lab):
    lab.step({1: "a", 2: "b"})
    lab.step({2: "c"})
    assert lab.judge({1: "a", 2: "c"}) == set()
    lab.step({1: None})
    assert lab.judge({2: "c"}) == set()


def test_effects_that_another_step_may_have_left_say_nothing(lab):
    lab.step({1: "same"})
    lab.step({1: "same", 2: "b"}, state=lab.OPEN)
    assert lab.judge({1: "same"}) == lab.judge({1: "same", 2: "b"}) == set()


def test_two_steps_that_each_wrote_over_the_other(lab):
    one = lab.begin({1: "a", 2: "a"}, lane="one")
    two = lab.begin({1: "b", 2: "b"}, lane="two")
    lab.end(one)
    lab.end(two)
    assert lab.judge({1: "a", 2: "a"}) == lab.judge({1: "b", 2: "b"}) == set()
    assert lab.judge({1: "a", 2: "b"}) == {"atomicity/interleaved-steps"}
    (finding,) = atomicity.judge(lab.view({1: "a", 2: "b"}))
    assert finding.evidence["examples"] == [["one#0 (acked)", "two#1 (acked)"]]


def test_the_evidence_names_the_step_and_the_missing_key(lab):
    lab.step({1: "a", 2: "b"}, state=lab.OPEN)
    (finding,) = atomicity.judge(lab.view({1: "a"}))
    (example,) = finding.evidence["examples"]
    assert example["step"] == "main#0 (open)"
    assert example["effects"] == 2
    assert example["missing"]["key"] == "(2)"
