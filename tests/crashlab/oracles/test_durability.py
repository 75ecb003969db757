import msgspec
import pytest

from crashlab.errors import SubjectError
from crashlab.model.contract import Contract, Durability, FaultClass, Promise
from crashlab.model.step import Effect
from crashlab.oracles import durability
from crashlab.oracles.evidence import EXAMPLES_MAX
from crashlab.oracles.view import Recovered


def test_all_acked_rows_back_is_no_finding(lab):
    for k in range(20):
        lab.step({k: k})
    assert lab.judge({k: k for k in range(20)}) == set()


def test_an_acked_row_that_is_gone(lab):
    lab.step({1: "a"})
    lab.step({2: "b"})
    assert lab.judge({1: "a"}) == {"durability/acked-row-lost"}


def test_an_acked_delete_that_is_undone(lab):
    lab.step({1: "a"})
    lab.step({1: None})
    assert lab.judge({}) == set()
    assert lab.judge({1: "a"}) == {"durability/acked-delete-undone"}


def test_deleting_a_row_that_no_step_wrote(lab):
    lab.step({1: None})
    assert lab.judge({}) == set()
    assert lab.judge({1: "a"}) == {"durability/acked-delete-undone"}


def test_an_older_value_that_came_back(lab):
    for value in "abc":
        lab.step({1: value})
    assert lab.judge({1: "c"}) == set()
    assert lab.judge({1: "b"}) == {"durability/acked-update-lost"}
    assert lab.judge({1: "a"}) == {"durability/acked-update-lost"}
    assert lab.judge({}) == {"durability/acked-row-lost"}


def test_a_value_that_nobody_wrote(lab):
    lab.step({1: "a"})
    assert lab.judge({1: "x"}) == {"durability/wrong-value"}


def test_a_row_that_nobody_wrote(lab):
    lab.step({1: "a"})
    assert lab.judge({1: "a", 9: "x"}) == {"durability/row-from-nowhere"}


@pytest.mark.parametrize("state", ["OPEN", "REFUSED"])
@pytest.mark.parametrize(("before", "effect"), [("a", "b"), ("a", None), (None, "b")])
def test_an_unacked_step_has_happened_or_not(lab, state, before, effect):
    if before:
        lab.step({1: before})
    lab.step({1: effect}, state=getattr(lab, state))
    assert lab.judge({1: before} if before else {}) == set()
    assert lab.judge({1: effect} if effect else {}) == set()
    assert lab.judge({1: "x"}) == {"durability/wrong-value"}


def test_a_refused_write_cannot_outlive_a_later_acked_one(lab):
    lab.step({1: "a"}, state=lab.REFUSED)
    lab.step({1: "b"})
    assert lab.judge({1: "b"}) == set()
    assert lab.judge({1: "a"}) == {"durability/acked-update-lost"}


def test_overlapping_acked_writes_may_come_back_either_way(lab):
    first = lab.begin({1: "a"}, lane="one")
    second = lab.begin({1: "b"}, lane="two")
    lab.end(first)
    lab.end(second)
    assert lab.judge({1: "a"}) == lab.judge({1: "b"}) == set()
    assert lab.judge({}) == {"durability/acked-row-lost"}
    lab.step({1: "c"}, lane="one")
    assert lab.judge({1: "b"}) == {"durability/acked-update-lost"}


def test_within_a_step_the_last_effect_of_a_key_counts(lab):
    lab.step({1: "a"})
    twice = (Effect("t", (1,), ("a",)), Effect("t", (1,), ("b",)))
    lab.steps[0] = msgspec.structs.replace(lab.steps[0], effects=twice)
    assert lab.judge({1: "b"}) == set()
    assert lab.judge({1: "a"}) == {"durability/wrong-value"}


def test_a_later_write_of_another_process_counts_by_the_clock(lab):
    lab.step({1: "a"}, process=0)
    lab.step({1: "b"}, process=1, lane="other")
    assert lab.judge({1: "b"}) == set()
    assert lab.judge({1: "a"}) == {"durability/acked-update-lost"}


def test_a_missing_table_is_named(lab):
    lab.step({1: "a"})
    (finding,) = durability.judge(msgspec.structs.replace(lab.view(), recovered=Recovered()))
    assert finding.identity.invariant == "acked-row-lost"
    assert finding.evidence["tables_missing"] == ["t"]
    assert "table t" in finding.message


def test_under_prefix_a_lost_tail_is_allowed_but_not_a_wrong_row(lab):
    lab.step({1: "a"})
    lab.step({1: "b"})
    lab.step({2: "c"})
    for rows in ({}, {1: "a"}, {1: "b"}, {1: "b", 2: "c"}):
        assert lab.judge(rows, contract=lab.PREFIX) == set()
    assert lab.judge({1: "x"}, contract=lab.PREFIX) == {"durability/wrong-value"}
    assert lab.judge({3: "x"}, contract=lab.PREFIX) == {"durability/row-from-nowhere"}


def test_where_nothing_is_promised_nothing_is_judged(lab):
    lab.step({1: "a"})
    assert lab.judge({1: "x", 2: "y"}, contract=lab.NOTHING) == set()
    assert lab.judge({1: "x"}, fault_class=FaultClass.POWER_LOSS, synchronous="OFF") == set()


def test_power_loss_is_judged_by_the_effective_synchronous(lab):
    lab.step({1: "a"})
    power = FaultClass.POWER_LOSS
    assert lab.judge({}, fault_class=power, synchronous="normal") == set()
    assert lab.judge({}, fault_class=power, synchronous="FULL") == {"durability/acked-row-lost"}


def test_interference_may_take_rows_or_refuse_but_not_hand_out_wrong_ones(lab):
    lab.step({1: "a"})
    interference = FaultClass.INTERFERENCE
    assert lab.judge({}, fault_class=interference) == set()
    assert lab.judge({1: "x"}, fault_class=interference) == {"durability/wrong-value"}
    assert lab.judge({}, fault_class=interference, refused="DatabaseError: malformed") == set()


def test_a_subject_may_promise_rows_or_a_refusal(lab):
    """A store that refuses a damaged file is right; one that recreates it has lost the rows."""
    lab.step({1: "a"})
    contract = Contract(interference=Promise(Durability.ALL, well_formed=False, may_refuse=True))
    interference = FaultClass.INTERFERENCE
    assert lab.judge({}, fault_class=interference, contract=contract, refused="Damaged") == set()
    assert lab.judge({}, fault_class=interference, contract=contract) == {"durability/acked-row-lost"}


def test_one_finding_an_invariant_and_bounded_evidence(lab):
    for k in range(500):
        lab.step({k: "v" * 5000})
    (finding,) = durability.judge(lab.view({}))
    assert finding.evidence["keys"] == 500
    assert len(finding.evidence["examples"]) == EXAMPLES_MAX
    assert len(msgspec.json.encode(finding)) < 10_000
    assert "500 rows" in finding.message
    example = finding.evidence["examples"][0]
    assert example["found"] == "no row"
    assert "main#0 (acked)" in example["written"][0]


def test_an_effect_on_an_undeclared_table_is_an_error_not_a_pass(lab):
    lab.step({("tt", 1): "a"})
    with pytest.raises(SubjectError, match=r"'tt'.*did you mean 't'"):
        lab.judge({})
