"""The lab's positive controls: each broken subject is caught by its invariant, each twin left in peace.

And the other way round: a lab that is blind, or cries wolf, or looks elsewhere, is told by them.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from crashlab.engine.campaign import Tally
from crashlab.engine.events import Emitter
from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.faults.fault import parse_fault
from crashlab.gallery.controls.control import REAL_ROAD, TRACE_ROAD
from crashlab.gallery.controls.registry import CONTROLS
from crashlab.gallery.controls.run import ControlVerdict, judge_control, run_controls
from crashlab.model.case import Case
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.oracles.all import ORACLES
from crashlab.writers.context import RunContext
from crashlab.writers.load import load_workload
from crashlab.writers.order import Order

BY_ID = {control.id: control for control in CONTROLS}
ON_REAL_ROAD = [control for control in CONTROLS if REAL_ROAD in control.roads]


@pytest.fixture(scope="module")
def workspace():
    with Workspace() as workspace:
        yield workspace


@pytest.fixture(scope="module")
def run(workspace):
    def run(*controls, seed=1, emitter=None, road=REAL_ROAD):
        with ThreadPoolExecutor(2) as executor:
            return run_controls(
                lambda subject: RealRoad(subject, workspace),
                executor,
                seed,
                emitter or Emitter(),
                controls=controls,
                road=road,
            )

    return run


@pytest.fixture(scope="module")
def everything(run):
    events = []
    return run(*CONTROLS, emitter=Emitter(events.append)), events


def changed(control, **changes):
    return msgspec.structs.replace(BY_ID[control], **changes)


def test_every_broken_subject_is_caught_by_its_invariants_and_every_twin_is_clean(everything):
    results, _ = everything
    assert [result.control for result in results] == [control.id for control in CONTROLS]
    for control, result in zip(CONTROLS, results, strict=True):
        if REAL_ROAD not in control.roads:
            continue
        assert result.verdict is ControlVerdict.CAUGHT, result
        assert set(control.catches) <= set(result.found)
        assert result.twin_found == {}
        assert 1 <= result.trials <= 4  # the faults are exact: no luck is needed
        assert result.twin_trials == result.trials
        assert all(name in result.detail for name in control.catches)


def test_the_controls_findings_are_the_expected_ones_and_no_others(everything):
    """Each control shows one defect, not a heap of them."""
    results, _ = everything
    assert {result.control: set(result.found) for result in results if result.found} == {
        control.id: set(control.catches) for control in ON_REAL_ROAD
    }


def test_a_power_loss_is_not_judged_on_the_real_road(everything):
    results, _ = everything
    (result,) = [result for result in results if result.control == "off-power-loss"]
    assert result.verdict is ControlVerdict.NOT_JUDGED
    assert result.sound
    assert (result.trials, result.twin_trials) == (0, 0)
    assert "only the trace road can show it" in result.detail


def test_a_kill_sees_nothing_of_synchronous_off_which_is_why_it_is_not_judged(workspace):
    control = BY_ID["off-power-loss"]
    for workload in (control.broken, control.twin):
        road = RealRoad(Subject("s", workload), workspace, probe=True)
        try:
            outcome = road.run(Case("s", 1, "kill@ack#9"), "t")
        finally:
            road.close()
        assert outcome.verdict is Verdict.PASS
        assert outcome.settings["synchronous"] == ("0" if workload == control.broken else "2")


def test_every_step_of_the_way_is_an_event(everything):
    results, events = everything
    judged = sum(result.trials + result.twin_trials for result in results)
    assert sum(event.kind == "trial-finished" for event in events) == judged
    names = {event.data["name"] for event in events if event.kind == "campaign-finished"}
    assert "control ack-before-commit" in names
    assert "control ack-before-commit.twin" in names


def test_the_same_seed_gives_the_same_results_and_another_seed_catches_too(run, everything):
    results, _ = everything
    control = BY_ID["ack-before-commit"]
    for seed in (1, 2):
        (again,) = run(control, seed=seed)
        assert msgspec.structs.replace(again, seconds=0.0) == msgspec.structs.replace(results[0], seconds=0.0)


def test_a_lab_that_sees_nothing_is_told(run):
    control = changed("ack-before-commit", broken=BY_ID["ack-before-commit"].twin)
    (result,) = run(control)
    assert result.verdict is ControlVerdict.MISSED
    assert not result.sound
    assert "durability/acked-row-lost did not find it in 8 judged of 8 trials" in result.detail


def test_a_catch_by_another_invariant_only_is_a_miss(run):
    (result,) = run(changed("two-transactions", catches=("durability/acked-row-lost",)))
    assert result.verdict is ControlVerdict.OTHER_INVARIANT
    assert not result.sound
    assert "only atomicity/torn-step did" in result.detail


def test_of_two_named_invariants_one_is_not_enough(run):
    (result,) = run(changed("ack-before-commit", catches=("durability/acked-row-lost", "order/lane-gap")))
    assert result.verdict is ControlVerdict.OTHER_INVARIANT
    assert result.detail.startswith("order/lane-gap did not find it")


def test_a_lab_that_cries_wolf_is_told(run):
    (result,) = run(changed("upsert-overwrites", twin=BY_ID["upsert-overwrites"].broken))
    assert result.verdict is ControlVerdict.TWIN_NOT_CLEAN
    assert not result.sound
    assert "durability/acked-update-lost" in result.detail


def test_a_control_whose_fault_never_fires_proves_nothing(run):
    (result,) = run(changed("ack-before-commit", faults=("kill@ack#999",)))
    assert result.verdict is ControlVerdict.ERROR
    assert not result.sound
    assert (result.trials, result.twin_trials) == (0, 0)
    assert "0 judged of 8 trials: the kill never hit" in result.detail


def test_a_control_that_cannot_be_loaded_is_an_error_and_the_others_run(run):
    lost = changed("ack-before-commit", broken="no_such_module:x")
    first, second = run(lost, BY_ID["upsert-overwrites"])
    assert first.verdict is ControlVerdict.ERROR
    assert "does not import" in first.detail
    assert second.verdict is ControlVerdict.CAUGHT


def test_results_are_plain_data(everything):
    results, _ = everything
    for result in results:
        assert msgspec.json.decode(msgspec.json.encode(result), type=type(result)) == result
        assert "\n" not in result.detail


# --- the judgement alone ----------------------------------------------------------------------------------


def tally(*verdicts: Verdict, finding: str = "durability/acked-row-lost") -> Tally:
    made = Tally()
    oracle, _, invariant = finding.partition("/")
    findings = (Finding(Identity(oracle, invariant, "s", "process death"), "gone"),)
    for verdict in verdicts:
        ended = Ended(EndKind.SIGNALLED, 9)
        error = "the lab\nbroke" if verdict is Verdict.ERROR else ""
        found = findings if verdict is Verdict.FAIL else ()
        made.add(Outcome("t", Case("s", 1, "none"), verdict, ended, findings=found, error=error))
    return made


P, F, M, E = Verdict.PASS, Verdict.FAIL, Verdict.MISSED, Verdict.ERROR


@pytest.mark.parametrize(
    ("broken", "twin", "verdict"),
    [
        ([F], [P], ControlVerdict.CAUGHT),
        ([M, P, F], [P, M, P], ControlVerdict.CAUGHT),
        ([P, P], [P, P], ControlVerdict.MISSED),
        ([F], [F], ControlVerdict.TWIN_NOT_CLEAN),
        ([P], [F], ControlVerdict.TWIN_NOT_CLEAN),
        ([M, M], [P], ControlVerdict.ERROR),
        ([E], [P], ControlVerdict.ERROR),
        ([F], [M], ControlVerdict.ERROR),
        ([F], [E], ControlVerdict.ERROR),
        ([], [], ControlVerdict.ERROR),
    ],
)
def test_what_two_tallies_show(broken, twin, verdict):
    found, detail = judge_control(BY_ID["ack-before-commit"], tally(*broken), tally(*twin))
    assert found is verdict
    assert detail
    assert "\n" not in detail


# --- the registry -----------------------------------------------------------------------------------------


def test_there_are_seven_controls_with_names_of_their_own():
    assert len(CONTROLS) == len(BY_ID) == 7
    assert all(re.fullmatch(r"[a-z][a-z-]*", control.id) for control in CONTROLS)
    assert {control.roads for control in CONTROLS} == {(REAL_ROAD,), (TRACE_ROAD,)}


@pytest.mark.parametrize("control", CONTROLS, ids=[control.id for control in CONTROLS])
def test_a_control_is_short_exact_and_in_a_file_of_its_own(control, tmp_path):
    module, _, _ = control.broken.partition(":")
    assert control.twin.partition(":")[0] == module
    if control.plan is None:
        assert module.rpartition(".")[2].replace("_", "-") == control.id
        assert control.broken != control.twin
    else:  # the defect is the disk's: the twin is the same program on a good disk
        assert control.broken == control.twin
        assert REAL_ROAD not in control.roads
    known = {name for name, _ in ORACLES}
    assert control.catches
    assert all(catch.partition("/")[0] in known for catch in control.catches)
    assert all(str(parse_fault(fault)) == fault for fault in control.faults)
    assert bool(control.faults) is (REAL_ROAD in control.roads)
    workload = load_workload(control.broken)
    assert set(control.params) <= set(workload.params)
    params = {**workload.params, **control.params}
    assert 10 <= params["steps"] <= 30
    context = RunContext(Order(str(tmp_path), str(tmp_path / "x.db"), control.broken, 1, params), 0, None)
    assert len(workload.lanes(context)) == 1
