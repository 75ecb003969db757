"""The policy as a table: evidence in, decision and reasons out."""

import pytest

from crashlab.decide.config import Policy
from crashlab.decide.evidence import CONTROLS, Row, RowResult, control_row
from crashlab.decide.policy import Decision, decide
from crashlab.gallery.controls.run import ControlResult, ControlVerdict

POLICY = Policy(phase_hits_min=30, trials_min=1000)
HITS = {"commit": 31, "checkpoint": 30}


def control(result=RowResult.OK, **more):
    return Row(CONTROLS, "ack before commit", result, **more)


def kills(result=RowResult.OK, **more):
    return Row("process death", "kill every=3", result, **{"judged": 1200, **more})


FAILED = kills(RowResult.FAIL, failures=7, invariants=("durability/acked-row-lost", "order/gap"))
SOUND = (Row("environment", "SQLite 3.40.1", RowResult.OK), control(), kills())


@pytest.mark.parametrize(
    ("rows", "hits", "judged", "partial", "decision", "reasons"),
    [
        (SOUND, HITS, 1200, "", "GO", ["no failure in 1200 judged trials"]),
        (SOUND, {}, 1000, "", "GO", ["no failure in 1000"]),
        # Warnings and what is for another road to judge stand in nobody's way.
        ((*SOUND, Row("environment", "advisory", RowResult.WARN)), HITS, 1200, "", "GO", ["no failure"]),
        ((*SOUND, control(RowResult.NOT_JUDGED)), HITS, 1200, "", "GO", ["no failure"]),
        # Failures name the invariant, the count and the row.
        (
            (control(), FAILED),
            HITS,
            1200,
            "",
            "NO-GO",
            ["durability/acked-row-lost: violated; 7 of 1200 failed in kill every=3", "order/gap: violated; 7"],
        ),
        ((control(), FAILED), {"commit": 0}, 3, "", "NO-GO", ["durability/acked-row-lost", "order/gap"]),
        (
            (control(), Row("preflight", "database a.db", RowResult.FAIL, detail="row 3 missing from index i")),
            HITS,
            1200,
            "",
            "NO-GO",
            ["database a.db: row 3 missing from index i"],
        ),
        # A lab that misses a control proves nothing, in either direction.
        ((control(RowResult.MISSED, detail="it slipped by"), FAILED), HITS, 1200, "", "INCONCLUSIVE", ["it slipped"]),
        ((control(RowResult.MISSED), kills()), HITS, 1200, "", "INCONCLUSIVE", ["control 'ack before commit'"]),
        ((control(RowResult.INCONCLUSIVE), kills()), HITS, 1200, "", "INCONCLUSIVE", ["was not as it must be"]),
        ((control(RowResult.FAIL), kills()), HITS, 1200, "", "INCONCLUSIVE", ["was not as it must be"]),
        # Thin evidence.
        (SOUND, HITS, 999, "", "INCONCLUSIVE", ["999 trials were judged, the policy wants 1000"]),
        (SOUND, {**HITS, "commit": 29}, 1200, "", "INCONCLUSIVE", ["phase commit was hit 29 times, the policy wants"]),
        ((*SOUND, kills(RowResult.MISSED, detail="never fired")), HITS, 1200, "", "INCONCLUSIVE", ["never fired"]),
        ((*SOUND, kills(RowResult.INCONCLUSIVE, detail="2 ERROR")), HITS, 1200, "", "INCONCLUSIVE", ["2 ERROR"]),
        ((), {}, 0, "", "INCONCLUSIVE", ["0 trials were judged"]),
        # Ended before its time: labelled, and never a GO.
        (SOUND, HITS, 1200, "interrupted", "INCONCLUSIVE", ["the results are partial: interrupted"]),
        (SOUND, HITS, 1200, "full disk", "INCONCLUSIVE", ["the results are partial: full disk"]),
        ((control(), FAILED), HITS, 9, "interrupted", "NO-GO", ["durability/", "order/", "are partial: interrupted"]),
    ],
)
def test_the_table(rows, hits, judged, partial, decision, reasons):
    decided, said = decide(rows, hits, judged, POLICY, partial=partial)
    assert decided.value == decision
    assert len(said) == len(reasons), said
    for wanted, got in zip(reasons, said, strict=True):
        assert wanted in got


def test_no_evidence_is_never_a_go():
    lenient = Policy(phase_hits_min=0, trials_min=0)
    assert decide((control(),), {"commit": 0}, 0, lenient) == (
        Decision.INCONCLUSIVE,
        ("0 trials were judged, the policy wants 1",),
    )
    assert decide((control(), kills()), {"commit": 0}, 1, lenient)[0] is Decision.GO


def test_the_same_invariant_in_several_rows_is_one_reason():
    rows = (
        FAILED,
        Row("process death", "hang-up", RowResult.FAIL, judged=10, failures=3, invariants=("order/gap",)),
    )
    _, reasons = decide(rows, HITS, 1210, POLICY)
    assert reasons[1] == "order/gap: violated; 10 of 1210 failed in kill every=3, hang-up"


def test_exit_codes():
    assert {decision: decision.exit_code for decision in Decision} == {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 3}


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        (ControlVerdict.CAUGHT, RowResult.OK),
        (ControlVerdict.NOT_JUDGED, RowResult.NOT_JUDGED),
        (ControlVerdict.MISSED, RowResult.MISSED),
        (ControlVerdict.OTHER_INVARIANT, RowResult.MISSED),
        (ControlVerdict.TWIN_NOT_CLEAN, RowResult.MISSED),
        (ControlVerdict.ERROR, RowResult.MISSED),
    ],
)
def test_what_a_controls_outcome_means(verdict, result):
    row = control_row(ControlResult("id", "title", verdict, ("durability/acked-row-lost",), detail="why"))
    assert (row.group, row.name, row.result) == (CONTROLS, "title", result)
    decision, _ = decide((row, kills()), HITS, 1200, POLICY)
    assert decision.value == ("GO" if result in (RowResult.OK, RowResult.NOT_JUDGED) else "INCONCLUSIVE")
