"""The gallery's own files: is the mechanism that made them among those that come first, and is health called health?"""

import pytest

from crashlab.diagnosis.autopsy import Verdict, autopsy
from crashlab.diagnosis.autopsy.confusion import WAYS, Judged, judge, table, truth_of
from crashlab.gallery.exhibit import Kind
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.telling import Result
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
@pytest.mark.parametrize("seed", [11, pytest.param(12, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize("name", ["e5", "b1-index", "d2-revert", "a4-notadb", "i-kill-inside"])
def test_the_matrix_is_right_for_a_sample(left_by, name):
    path, _ = left_by(name, 11)
    for way, judged in judge(path.parent, truth_of(name)).items():
        assert judged.right, (way, judged)
        assert (judged.verdict == "healthy") is (name not in ("e5", "b1-index")) or way != "files"


def test_a_matrix_tells_right_from_wrong():
    sure = Judged("a7", ("e5",), ("e5", "a7"), "shown", "lossy")
    runs = [("a7", dict.fromkeys(WAYS, sure)), ("e5", dict.fromkeys(WAYS, sure._replace(truth="e5")))]
    assert (sure.right, sure.wrong_and_sure) == (False, True)
    assert table(runs).splitlines()[2:4] == [
        "| a7 | e5 | lossy | 0/1 |" + " one of 1, right 0/1 |" * 4,
        "| e5 | e5 | lossy | 1/1 |" + " one of 1 |" * 4,
    ]


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_confusion_over_every_exhibit_and_twenty_seeds(left_by):
    runs = []
    for name in [*MECHANISMS, *ACQUITTED]:
        if load_exhibits()[name].missing_needs():
            continue
        for seed in range(200, 220):
            path, run = left_by(name, seed)
            assert run.result is Result.AS_EXPECTED
            runs.append((name, seed, judge(path.parent, truth_of(name))))
    for way in WAYS:
        judged = [(name, seed, ways[way]) for name, seed, ways in runs]
        wrong = [each for each in judged if not each[2].right]
        assert len(wrong) <= 0.1 * len(judged), (way, wrong)
        assert sum(each.truth in each.three for _, _, each in judged) >= 0.98 * len(judged), (way, wrong)
        assert not [each for each in wrong if each[2].wrong_and_sure], way
    sick = [each for each in runs if each[0] in ACQUITTED and each[2]["files"].verdict != "healthy"]
    assert not sick
