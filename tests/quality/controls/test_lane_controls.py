"""The planted bugs of several lanes: right when the lanes run one after another, so only an interleaving shows them."""

import itertools
import sqlite3

import pytest

from crashlab.engine.recover import restart_and_read
from crashlab.engine.verdict import judge_view
from crashlab.gallery.controls.lanes.program import SCHEDULES_ROAD
from crashlab.gallery.controls.lanes.registry import LANE_CONTROLS
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History, StepRecord, StepState
from crashlab.oracles.all import ORACLES
from crashlab.oracles.view import View
from crashlab.writers.context import RunContext
from crashlab.writers.load import load_workload
from crashlab.writers.order import Order

BY_ID = {control.id: control for control in LANE_CONTROLS}
SUBJECTS = [
    pytest.param(side, id=f"{control.id}-{name}")
    for control in LANE_CONTROLS
    for name, side in (("broken", control.broken), ("twin", control.twin))
]


def one_after_another(workload, directory, order):
    """Run the lanes, in that order, each to its end; return the findings and how many steps were acked."""
    directory.mkdir()
    run = Order(str(directory), str(directory / "x.db"), "", 1, dict(workload.params))
    contexts = {lane.process: RunContext(run, lane.process, sqlite3.connect) for lane in order}
    programs = {process: workload.open(contexts[process]) for process in sorted(contexts)}
    steps, seq = [], itertools.count(1)
    for lane in order:
        for step in workload.steps(lane, programs[lane.process], contexts[lane.process]):
            begin, error, effects = next(seq), "", step.effects
            try:
                happened = step.do()
                effects = step.effects if happened is None else tuple(happened)
            except sqlite3.Error as raised:
                error = str(raised)
            state = StepState.REFUSED if error else StepState.ACKED
            end = next(seq)
            steps.append(
                StepRecord(lane.name, lane.process, step.seq, state, effects, begin, begin, end, end, error=error)
            )
    for program in programs.values():
        program.close()
    history = History("c", tuple(steps), (), (), Ended(EndKind.EXITED, 0))
    recovered = restart_and_read(workload, contexts[0], history, FaultClass.NONE, b"", {})
    view = View("s", FaultClass.NONE, workload.contract, workload.tables, history, recovered)
    findings, _ = judge_view(view, {})
    return findings, [step for step in steps if step.state is StepState.REFUSED]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_one_after_another_in_any_order_it_is_correct(subject, tmp_path):
    workload = load_workload(subject)
    probe = RunContext(Order(str(tmp_path), str(tmp_path / "x.db"), subject, 1, dict(workload.params)), 0, None)
    lanes = workload.lanes(probe)
    assert len(lanes) >= 2
    for number, order in enumerate(itertools.permutations(lanes)):
        assert one_after_another(workload, tmp_path / str(number), order) == ((), []), [lane.name for lane in order]


@pytest.mark.parametrize("control", LANE_CONTROLS, ids=list(BY_ID))
def test_a_lane_control_names_an_oracle_and_two_programs_of_one_module(control):
    known = {name for name, _ in ORACLES}
    assert control.roads == (SCHEDULES_ROAD,)
    assert not control.faults
    assert control.broken.partition(":")[0] == control.twin.partition(":")[0]
    assert control.broken != control.twin
    for catch in control.catches:
        oracle, _, invariant = catch.partition("/")
        assert oracle in {*known, "schedule"}  # `schedule`: of the judge of schedules
        if oracle == "books":
            assert invariant in {check.name for check in load_workload(control.broken).checks}


def test_lane_controls_have_names_of_their_own():
    assert len(LANE_CONTROLS) == len(BY_ID) == 9
