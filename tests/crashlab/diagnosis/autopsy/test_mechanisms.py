"""The gallery's own files: is the mechanism that made them among those that come first, and is health called health?"""

import pytest

from crashlab.diagnosis.autopsy import Verdict, autopsy
from crashlab.diagnosis.autopsy.accounts import own_checks
from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.signs import verdict_of, with_checks
from crashlab.gallery.exhibit import Kind
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.telling import Result
from crashlab.sqlite.check import open_evidence
from crashlab.sqlite.files import Triplet

MECHANISMS = [name for name, each in load_exhibits().items() if each.kind is Kind.MECHANISM and each.in_default_run]
ACQUITTED = [name for name, each in load_exhibits().items() if each.kind is Kind.ACQUITTAL and each.in_default_run]
FIRST = {
    "a1-shm": {"a1-shm"},
    "a3-malformed": {"a3-malformed", "b1-torn", "c1-s38"},
    "a7": {"a7"},
    "b1-caught": {"b1-caught"},
    "b1-index": {"b1-index"},
    "c1-killed": {"c1-killed", "e5"},
    "c2-malformed": {"a8-malformed", "c2-malformed"},
    "d1-pair": {"d1-pair", "e2-lying"},
    "d2": {"d2"},
    "d3": {"d3", "e7"},
    "d4": {"d4"},
    "e5": {"e5"},
    "e5-salt": {"e5-salt"},
    "e6-index": {"e6-index"},
    "e6-page": {"e6-page"},
    "e7-checkpoint": {"e7-checkpoint"},
}
NO_LOSS_IN_CONTROL = ("a3-malformed", "b1-straddle", "e7-checkpoint", "f1", "f3", "h2")


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("seed", [11, 12])
def test_the_true_mechanism_comes_first_with_those_that_leave_the_same(left_by, name, seed):
    path, _ = left_by(name, seed)
    before = Triplet.of(path).facts()
    report = autopsy(path)
    assert {named.id for named in report.first} == FIRST[name], (report.signs, report.others)
    assert not report.unexplained
    assert report.unchanged
    assert Triplet.of(path).facts() == before
    assert report.exit_code == 1


@pytest.mark.parametrize("name", [*ACQUITTED, "a4-notadb", "d1", "f3", "h5"])
def test_healthy_and_merely_crashed_is_healthy(left_by, name):
    path, _ = left_by(name, 11)
    report = autopsy(path)
    assert (report.verdict, report.exit_code) == (Verdict.HEALTHY, 0), report.why
    assert name in ACQUITTED or name in {named.id for named in report.first}


@pytest.mark.parametrize("name", NO_LOSS_IN_CONTROL)
def test_a_control_without_a_loss_is_healthy(left_by, name):
    path, run = left_by(name, 11, control=True)
    assert run.rows.lost == 0
    assert autopsy(path).verdict is Verdict.HEALTHY


def judged(path):
    """The features and the ranking, without a process for each step."""
    features = examine(Triplet.of(path), keys=True).features
    checks = {}
    if features["main"] == "SQLite database":
        with open_evidence(path) as connection:
            checks = own_checks(connection)
    features = with_checks(features, checks)
    return features, rank(features)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_confusion_over_every_exhibit_and_twenty_seeds(left_by):
    right = three = total = 0
    wrong = []
    for name in [*MECHANISMS, *ACQUITTED]:
        if load_exhibits()[name].missing_needs():
            continue
        for seed in range(200, 220):
            path, run = left_by(name, seed)
            assert run.result is Result.AS_EXPECTED
            features, ranking = judged(path)
            first = {named.id for named in ranking.first}
            truth = "none" if name in ACQUITTED else name
            total += 1
            right += truth in first
            three += truth in first | {named.id for named in ranking.others[:3]}
            if name in ACQUITTED:
                assert verdict_of(features, unchanged=True) is Verdict.HEALTHY, (name, seed)
            if truth not in first:
                wrong.append((name, seed, sorted(first), ranking.confidence))
    assert right / total >= 0.9, wrong
    assert three / total >= 0.98, wrong
    assert not [each for each in wrong if each[3] == "shown"]
