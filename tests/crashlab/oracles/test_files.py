"""The oracles that judge the file, the restart and the workload's own checks."""

import pytest

from crashlab.model.contract import Contract, FaultClass, Promise
from crashlab.model.step import Table
from crashlab.oracles import content, integrity
from crashlab.oracles.all import ORACLES, judge_all


def test_a_program_that_does_not_start_any_more(lab):
    assert lab.judge(refused="DatabaseError: malformed") == {"restart/refused"}
    assert lab.judge() == set()


def test_a_refusal_hides_no_loss_and_reports_none(lab):
    lab.step({1: "a"})
    assert lab.judge(refused="boom") == {"restart/refused"}


@pytest.mark.parametrize(
    ("fault_class", "options"),
    [
        (FaultClass.INTERFERENCE, {}),
        (FaultClass.POWER_LOSS, {"synchronous": "OFF"}),
        (FaultClass.IO_ERROR, {"contract": Contract(io_error=Promise(may_refuse=True))}),
    ],
)
def test_a_refusal_that_the_contract_allows(lab, fault_class, options):
    assert lab.judge(refused="boom", fault_class=fault_class, **options) == set()


def test_interference_that_must_be_survived(lab):
    contract = Contract(interference=Promise())
    assert lab.judge(refused="boom", fault_class=FaultClass.INTERFERENCE, contract=contract) == {"restart/refused"}


def test_three_answers_of_the_integrity_checks(lab):
    line = ("row 3 missing from index i",)
    assert lab.judge() == set()
    assert lab.judge(integrity_check=line) == {"integrity/integrity-check-only"}
    assert lab.judge(quick_check=line, integrity_check=line) == {"integrity/quick-check"}
    assert lab.judge(quick_check=line) == {"integrity/quick-check"}


@pytest.mark.parametrize("field", ["quick_check", "integrity_check", "foreign_key_check", "wal_index_problems"])
def test_a_file_that_need_not_be_well_formed(lab, field):
    lines = {field: ("a problem",)}
    assert len(lab.judge(**lines)) == 1
    assert lab.judge(**lines, fault_class=FaultClass.INTERFERENCE) == set()
    assert lab.judge(**lines, fault_class=FaultClass.POWER_LOSS, synchronous="OFF") == set()
    assert len(lab.judge(**lines, fault_class=FaultClass.POWER_LOSS, synchronous="NORMAL")) == 1


def test_integrity_evidence_is_bounded(lab):
    (finding,) = integrity.judge(lab.view(quick_check=("x" * 10_000,) * 1000))
    assert finding.evidence["problems"] == 1000
    assert len(str(finding)) < 8000


def test_foreign_keys(lab):
    assert lab.judge(foreign_key_check=("fills row 3 has no parent in sessions",)) == {"foreign-keys/violated"}


def test_a_row_that_contradicts_itself(lab):
    table = Table("t", ("k",), ("v",), lambda key, value: value[0] == key[0] * 2)
    lab.step({1: 2})
    lab.step({2: 5})
    assert lab.judge({1: 2, 2: 5}, tables=(table,)) == {"content/row-check-failed"}
    assert lab.judge({1: 2, 2: 5}) == set()
    assert lab.judge({1: 2, 2: 5}, tables=(table,), contract=lab.NOTHING) == set()
    (finding,) = content.judge(lab.view({1: 2, 2: 5}, tables=(table,)))
    assert finding.evidence == {"rows": 1, "examples": [{"table": "t", "key": "(2)", "found": "(5)"}]}


def test_a_row_over_which_the_check_itself_breaks(lab):
    table = Table("t", ("k",), ("v",), lambda key, value: len(value[0]) > 0)
    lab.step({1: 7})
    (finding,) = judge_all(lab.view({1: 7}, tables=(table,)))
    assert finding.identity.invariant == "row-check-failed"
    assert "TypeError" in finding.message


def test_one_key_twice(lab):
    lab.step({1: "a"})
    assert lab.judge({1: "a"}, duplicates=(("t", (1,)),)) == {"content/duplicate-key"}


def test_a_wal_left_by_a_clean_close(lab):
    left = {"sidecars_after_clean_close": {"x.db-wal": 4152}, "closed_cleanly": True}
    assert lab.judge(**left) == {"sidecars/wal-after-clean-close"}
    assert lab.judge(**left, fault_class=FaultClass.NONE) == {"sidecars/wal-after-clean-close"}
    assert lab.judge(**left, other_connections=True) == set()
    assert lab.judge(**left, fault_class=FaultClass.IO_ERROR) == set()
    assert lab.judge(**{**left, "closed_cleanly": False}) == set()
    assert lab.judge(sidecars_after_clean_close={"x.db-wal": 0, "x.db-journal": 9}, closed_cleanly=True) == set()


def test_a_wal_index_that_cannot_be(lab):
    assert lab.judge(wal_index_problems=("nBackfill 9 > mxFrame 3",)) == {"sidecars/wal-index"}


def test_the_workloads_own_checks_by_name(lab):
    problems = {"books-balance": ("off by 3",), "sessions-closed": ("4 open",), "fine": ()}
    assert lab.judge(check_problems=problems) == {"books/books-balance", "books/sessions-closed"}
    assert lab.judge(check_problems=problems, contract=lab.NOTHING) == set()


def test_findings_are_bounded_and_in_the_order_of_the_oracles(lab):
    view = lab.view(check_problems={f"c{n}": ("bad",) for n in range(100)}, quick_check=("bad",))
    findings = judge_all(view, findings_max=20)
    assert len(findings) == 20
    assert findings[0].identity.oracle == "integrity"
    assert len(judge_all(view)) == 50


def test_an_oracles_name_is_that_of_its_findings(lab):
    table = Table("t", ("k",), ("v",), lambda key, value: False)
    lab.step({1: "a", 2: "b"})
    lab.step({3: "c"})
    lab.step({4: "d"})
    everything = {
        "duplicates": (("t", (1,)),),
        "quick_check": ("x",),
        "foreign_key_check": ("x",),
        "wal_index_problems": ("x",),
        "check_problems": {"c": ("x",)},
    }
    seen = {"restart"}
    for name, judge in ORACLES:
        view = lab.view({1: "a", 4: "d"}, tables=(table,), **everything)
        refused = lab.view(refused="boom")
        found = [*judge(view), *judge(refused)]
        assert found, name
        assert {finding.identity.oracle for finding in found} == {name}
        assert all(str(finding.identity).endswith("· planted · process death") for finding in found)
        seen.add(name)
    assert seen == {name for name, _ in ORACLES}
