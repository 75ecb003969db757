"""Outcomes into rows: every number with its N."""

import pytest

from crashlab.decide.bench import compare
from crashlab.decide.evidence import RowResult, campaign_row, last_words, summarise_exposure
from crashlab.model.case import Case
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Exposure, Outcome

LOST = Identity("durability", "acked-row-lost", "app", "process death")


def outcome(verdict, **more):
    findings = (Finding(LOST, "row 3 was acked and is gone"),) if verdict is Verdict.FAIL else ()
    return Outcome("t", Case("app", 1, "kill@ack#1"), verdict, Ended(EndKind.SIGNALLED, 9), findings=findings, **more)


PASSED, FAILED, MISSED = outcome(Verdict.PASS), outcome(Verdict.FAIL), outcome(Verdict.MISSED)
BROKE = outcome(Verdict.ERROR, error="the writer exited with code 70: Traceback:\n  File x\nValueError: no\nsecond")


@pytest.mark.parametrize(
    ("outcomes", "result", "numbers"),
    [
        ([PASSED] * 5, RowResult.OK, (5, 0, 0, 0)),
        ([PASSED, MISSED], RowResult.OK, (1, 0, 1, 0)),
        ([PASSED, FAILED, FAILED, MISSED, BROKE], RowResult.FAIL, (3, 2, 1, 1)),
        ([PASSED, BROKE], RowResult.INCONCLUSIVE, (1, 0, 0, 1)),
        ([MISSED, MISSED], RowResult.MISSED, (0, 0, 2, 0)),
        ([], RowResult.MISSED, (0, 0, 0, 0)),
    ],
)
def test_a_row_counts_what_was_judged(outcomes, result, numbers):
    row = campaign_row("process death", "kill", "process death", outcomes)
    assert (row.result, (row.judged, row.failures, row.missed, row.errors)) == (result, numbers)
    assert row.invariants == (("durability/acked-row-lost",) if FAILED in outcomes else ())


def test_an_error_is_told_in_its_last_words():
    assert campaign_row("g", "n", "", [BROKE]).detail == "ValueError: no second"
    assert last_words("") == "it said nothing"
    assert last_words("one line") == "one line"
    assert last_words("  indented") == "indented"


def test_exposure_is_of_the_trials_that_were_judged():
    judged = [
        outcome(Verdict.PASS, exposure=Exposure(frames=n, rows=2 * n, seconds=n / 10, main_alone="readable"))
        for n in range(1, 101)
    ]
    torn = outcome(Verdict.PASS, exposure=Exposure(frames=0, main_alone="malformed"))
    missed = outcome(Verdict.MISSED, exposure=Exposure(frames=9999, main_alone="readable"))
    found = summarise_exposure([*judged, torn, missed])
    assert (found.frames_p95, found.frames_max, found.rows_p95, found.rows_max) == (95, 100, 190, 200)
    assert (found.main_alone_malformed, found.trials) == (1, 101)
    assert summarise_exposure([missed]) is None


def test_a_bench_compares_in_turn():
    order = []

    def measured(name, values):
        def measure():
            order.append(name)
            return next(values)

        return measure

    figure = compare(
        "x", measured("a", iter([10.0, 30.0, 20.0])), measured("b", iter([5.0, 5.0, 5.0])), rounds=3, unit="/s"
    )
    assert order == ["a", "b"] * 3
    assert (figure.rate, figure.baseline, figure.ratio, figure.ratio_min, figure.ratio_max) == (20, 5, 4, 2, 6)
