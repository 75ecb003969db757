"""Each planted bug is caught by its named invariant; its twin, the good store, by nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case
from crashlab.model.finding import Identity, Verdict
from crashlab.model.outcome import Outcome
from harness.planted import PLANTED, Planted
from harness.workloads.invariants import CHECKS

TWIN_TRIALS_MIN = 3


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with Workspace() as made:
        yield made


def run(planted: Planted, workload: str, workspace: Workspace, trials: int) -> Iterator[Outcome]:
    road = RealRoad(Subject(planted.id, workload), workspace)
    try:
        for seed in range(trials):
            yield road.run(Case(planted.id, seed=seed, fault=planted.fault), f"{planted.id}-{seed}")
    finally:
        road.close()


@pytest.mark.parametrize("planted", PLANTED, ids=[planted.id for planted in PLANTED])
def test_its_own_invariant_catches_it(planted: Planted, workspace: Workspace) -> None:
    expected = Identity(planted.oracle, planted.invariant, planted.id, parse_fault(planted.fault).fault_class.value)
    seen = []
    for outcome in run(planted, planted.workload, workspace, planted.trials):
        assert outcome.verdict in (Verdict.PASS, Verdict.FAIL), outcome.error or outcome.fired
        seen += [finding.identity for finding in outcome.findings]
        if expected in seen:
            return
    pytest.fail(f"not caught in {planted.trials} trials; findings: {[str(identity) for identity in seen]}")


@pytest.mark.parametrize("planted", PLANTED, ids=[planted.id for planted in PLANTED])
def test_the_twin_passes(planted: Planted, workspace: Workspace) -> None:
    for outcome in run(planted, planted.twin, workspace, max(planted.trials, TWIN_TRIALS_MIN)):
        assert outcome.verdict is Verdict.PASS, outcome.error or outcome.fired or outcome.findings
        assert outcome.findings == ()


def test_every_named_invariant_has_a_planted_bug() -> None:
    broken = {planted.invariant for planted in PLANTED if planted.oracle == "books"}
    assert broken == {check.name for check in CHECKS}


def test_each_file_holds_one_planted_bug() -> None:
    files = {path.stem for path in Path(__file__).parents[3].joinpath("harness/planted").glob("*.py")}
    assert files - {"__init__", "record"} == {planted.module.rpartition(".")[2] for planted in PLANTED}
    assert len({planted.id for planted in PLANTED}) == len(PLANTED)
