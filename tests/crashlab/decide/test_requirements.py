"""Rows of requirements: what stands for each, and what makes it fail."""

from types import SimpleNamespace

import pytest

from crashlab.decide.config import Policy
from crashlab.decide.evidence import Row, RowResult
from crashlab.decide.policy import Decision, decide
from crashlab.decide.requirements import requirement_rows
from crashlab.engine.audit import Audited, audit
from crashlab.errors import SubjectError
from crashlab.model.contract import FaultClass
from crashlab.model.workload import Audit, Check

KILLS = Row("process death", "kill", RowResult.OK, FaultClass.PROCESS_DEATH, judged=40)
BROKEN = Row(
    "trace road", "power", RowResult.FAIL, FaultClass.POWER_LOSS, judged=9, failures=2, invariants=("books/balance",)
)
CONTROL = Row("controls", "lossy", RowResult.OK, judged=6, invariants=("books/balance",))


def rows(audited, *evidence):
    return {row.name: row for row in requirement_rows(audited, evidence)}


def test_a_requirement_stands_on_its_checks_and_counts_what_they_were_run_on():
    audited = Audited(("balance", "order"), {"inventory": ("balance",), "wiring": ("keys",)}, {"keys": ()})
    found = rows(audited, KILLS, CONTROL)
    assert (found["inventory"].result, found["inventory"].judged) == (RowResult.OK, 40)
    assert (found["wiring"].result, found["wiring"].judged) == (RowResult.OK, 0)


def test_a_check_violated_anywhere_fails_it_and_the_gate():
    audited = Audited(("balance", "order"), {"inventory": ("balance",), "shutdown": ("order",)}, {})
    found = rows(audited, KILLS, BROKEN)
    assert (found["inventory"].result, found["shutdown"].result) == (RowResult.FAIL, RowResult.OK)
    decision, reasons = decide((KILLS, *found.values()), {}, 40, Policy(trials_min=1))
    assert decision is Decision.NO_GO
    assert reasons[0].startswith("books/balance")


def test_an_audit_that_complains_fails_it():
    found = rows(Audited((), {"wiring": ("keys",)}, {"keys": ("engine.tick is read by nobody",)}))
    assert found["wiring"].result is RowResult.FAIL
    assert "engine.tick is read by nobody" in found["wiring"].detail


def test_without_evidence_a_check_proves_nothing():
    found = rows(Audited(("balance",), {"inventory": ("balance",)}, {}), CONTROL)
    assert found["inventory"].result is RowResult.INCONCLUSIVE


def workload(**parts):
    checks = (Check("balance", lambda *_: ()),)
    return SimpleNamespace(**{"checks": checks, "audits": (Audit("keys", lambda: ["one"]),), **parts})


def test_audits_are_run_and_requirements_must_rest_on_something():
    assert audit(workload(requirements={"wiring": ("keys", "balance")})) == Audited(
        ("balance",), {"wiring": ("keys", "balance")}, {"keys": ("one",)}
    )
    for wrong in (("kyes",), ()):
        with pytest.raises(SubjectError, match="requirement 'wiring' rests on"):
            audit(workload(requirements={"wiring": wrong}))
