"""Planted bugs are found, shrunk without becoming other bugs, kept, and replay without the generator."""

import json
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crashlab.engine.casedir import load_case
from crashlab.engine.moments import Moments
from crashlab.engine.reduce import parsed_state
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case
from crashlab.model.contract import Contract, Promise
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.states.models import Policy
from crashlab.strategies import (
    Change,
    FindingsError,
    InProcess,
    check,
    crashes,
    find_witness,
    observe,
    parse_plan,
    plan_cases,
    plans,
)
from crashlab.strategies.workload import PlanWorkload

POWER = (Policy.SYNCED_ONLY, Policy.SUBSET)


class Overpromising(PlanWorkload):
    """Planted: promises for NORMAL and OFF what only FULL keeps."""

    contract = Contract(power_loss={"OFF": Promise(), "NORMAL": Promise(), "FULL": Promise()})


class AcksInTheMiddle(PlanWorkload):
    """Planted: a transaction of several edits commits each on its own."""

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):
            if len(step.effects) < 2:
                yield step
                continue

            def do(step=step):
                for effect in step.effects:
                    if effect.value is None:
                        instance.connection.execute("DELETE FROM t WHERE k = ?", effect.key)
                    else:
                        instance.connection.execute("REPLACE INTO t VALUES(?, ?, ?)", effect.key + effect.value)

            yield msgspec.structs.replace(step, do=do)


def search(workload, keep=None, *, policies=POWER, examples=500, seed=5, plan="", **settings_of_plans):
    """Look for a witness among plans, or among the crash states of one plan."""
    drawn = (
        st.just(parse_plan(plan)) if plan else plans(operations_max=2, edits_max=2, size_max=99, **settings_of_plans)
    )
    with InProcess(workload) as road:
        states = crashes(road, recorded=plan_cases(drawn), policies=policies)
        return find_witness(road, states, Random(seed), keep=keep, examples_max=examples)


@pytest.fixture(scope="module")
def witness(tmp_path_factory):
    found = search(Overpromising(), tmp_path_factory.mktemp("kept"), synchronous=("NORMAL",))
    assert found is not None
    return found


def test_an_ack_under_normal_promised_as_power_safe_shrinks_to_one_row_and_one_loss(witness):
    assert str(witness.identity) == "durability/acked-row-lost · plan · power loss"
    plan = parse_plan(witness.case.params["plan"])
    assert len(plan.operations) <= 2
    assert sum(isinstance(operation, Change) for operation in plan.operations) == 1
    assert plan.page_size == 4096
    with InProcess(Overpromising()) as road:
        moments = Moments(road.trace(witness.case))
        loss = moments.loss(parsed_state(witness.case))
        assert len(loss.lost) == 1
        assert loss.torn == ()


def test_the_case_directory_holds_everything(witness):
    directory = Path(witness.directory)
    names = {path.name for path in directory.iterdir()}
    assert names >= {
        "case.json",
        "outcome.json",
        "history.ndjson",
        "evidence",
        "trace",
        "timeline.txt",
        "persisted.txt",
    }
    assert load_case(directory) == witness.case
    assert "CRASH (power-loss)" in (directory / "timeline.txt").read_text()
    assert "lost: 1 operations" in (directory / "persisted.txt").read_text()
    evidence = {path.name: path.read_bytes() for path in (directory / "evidence").iterdir()}
    assert "state.db" in evidence
    findings = json.loads((directory / "outcome.json").read_bytes())["findings"]
    assert findings[0]["identity"]["invariant"] == "acked-row-lost"


def test_it_replays_from_its_directory_in_other_processes(witness):
    """Without the generator: the trace road of the engine, the subject by name, the carried trace."""
    module = Path(__file__)
    subject = Subject("plan", f"{module.stem}:Overpromising", (str(module.parent),))
    with Workspace() as space:
        road = TraceRoad(subject, space, recording=str(Path(witness.directory) / "trace"))
        try:
            outcome = road.run(load_case(witness.directory), "t", keep=False)
        finally:
            road.close()
    assert outcome.error == ""
    assert msgspec.json.encode(outcome.findings) == msgspec.json.encode(witness.outcome.findings)


def test_the_same_generator_state_gives_the_same_witness():
    plan = "wal NORMAL 4096 1000 | put 1x0 | put 2x0"
    first, again = (search(Overpromising(), plan=plan) for _ in range(2))
    assert (first.case, first.identity) == (again.case, again.identity)
    assert again.directory == ""
    assert first.identity.invariant == "acked-row-lost"


def test_a_torn_transaction_is_found_by_a_kill():
    plan = "wal FULL 4096 1000 | put 1x0 | put 2x0, put 3x0 | put 4x0"
    found = search(AcksInTheMiddle(), policies=(Policy.KILL,), plan=plan)
    assert found is not None
    assert str(found.identity) == "atomicity/torn-step · plan · process death"
    assert search(PlanWorkload(), policies=(Policy.KILL,), plan=plan, examples=60) is None


def test_the_correct_twins_pass():
    assert search(PlanWorkload(), examples=30) is None
    assert search(PlanWorkload(), examples=12, journals=("truncate",), synchronous=("FULL",)) is None
    assert search(Overpromising(), examples=15, synchronous=("FULL",)) is None


def outcome_of(*invariants):
    findings = tuple(Finding(Identity("o", name, "s", "power loss"), "it happened") for name in invariants)
    verdict = Verdict.FAIL if findings else Verdict.PASS
    return Outcome("t", Case("s", 1, "kill@op=1"), verdict, Ended(EndKind.SIGNALLED, 9), findings=findings)


def test_failures_are_told_apart_by_their_identity():
    errors = []
    for name in ("a", "b", "a"):
        with pytest.raises(FindingsError, match=f"o/{name} · s · power loss: it happened") as caught:
            check(outcome_of(name))
        errors.append(caught.type)
    assert errors[0] is errors[2] is not errors[1]
    assert check(outcome_of()).verdict is Verdict.PASS


def test_hypothesis_reports_two_bugs_as_two():
    @settings(max_examples=200, deadline=None, database=None, derandomize=True, report_multiple_bugs=True)
    @given(st.integers(0, 100))
    def two(number):
        check(outcome_of("odd" if number % 2 else "even"))

    with pytest.raises(BaseExceptionGroup) as caught:
        two()
    assert {str(type(error).identity.invariant) for error in caught.value.exceptions} == {"even", "odd"}


def test_outcomes_can_be_observed_in_a_given_test():
    with InProcess() as road:

        @settings(
            max_examples=5, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
        )
        @given(crashes(road, recorded=plan_cases(plans(operations_max=2)), policies=(Policy.KILL,)))
        def holds(case):
            check(observe(road.run(case)))

        holds()
