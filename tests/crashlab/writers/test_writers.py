"""Real processes that die where a case says, by the launcher that this machine gets."""

import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from crashlab.errors import LabError, SubjectError
from crashlab.faults.kill import PHASES
from crashlab.model.history import EndKind, StepState
from crashlab.model.phase import Phase, death_phases

PLAIN = "plain_workload:plain"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="writers are forked on Linux only")
pytestmark = linux


def rows(ran):
    with closing(sqlite3.connect(ran.order.database)) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM t ORDER BY id")]


def test_without_a_fault_a_run_ends_of_itself(writers):
    ran = writers.run(PLAIN)
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 0)
    assert ran.acked == list(range(50))
    assert rows(ran) == list(range(50))
    assert death_phases(ran.history) == ()
    assert ran.history.steps[0].effects[0].value == ("row 0",)


@pytest.mark.parametrize("k", [1, 2, 17, 50])
def test_a_kill_after_the_kth_ack_is_exact(writers, k):
    ran = writers.run(PLAIN, f"kill@ack#{k}")
    assert (ran.ended.kind, ran.ended.code) == (EndKind.SIGNALLED, 9)
    assert ran.firing.fired
    assert ran.acked == list(range(k)) == rows(ran)
    assert death_phases(ran.history) == (Phase.BETWEEN,)


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_can_be_hit(writers, phase):
    n = 2 if phase in ("commit", "commit-ack", "checkpoint") else 1
    ran = writers.run(PLAIN, f"kill@phase={phase}#{n}", params={"steps": 20, "checkpoint_every": 5})
    assert ran.firing.fired, ran.firing.how
    assert death_phases(ran.history) == (Phase(phase),)


def test_a_kill_at_the_start_of_the_kth_commit_leaves_the_step_open_and_its_row_out(writers):
    ran = writers.run(PLAIN, "kill@phase=commit#7")
    assert [step.state for step in ran.history.steps] == [StepState.ACKED] * 6 + [StepState.OPEN]
    assert rows(ran) == list(range(6))


def test_a_kill_between_commit_and_ack_leaves_the_step_open_and_its_row_in(writers):
    ran = writers.run(PLAIN, "kill@phase=commit-ack#7")
    assert [step.state for step in ran.history.steps] == [StepState.ACKED] * 6 + [StepState.OPEN]
    assert rows(ran) == list(range(7))


def test_a_kill_at_the_start_leaves_nothing(writers):
    ran = writers.run(PLAIN, "kill@start")
    assert ran.firing.fired
    assert ran.history.phases == ran.history.steps == ()


def test_a_delayed_kill_lands_where_it_lands_and_loses_no_acked_row(writers):
    hit = 0
    for delay in range(0, 3000, 300):
        ran = writers.run(PLAIN, f"kill@ack#3 delay={delay}us", params={"steps": 3000})
        hit += ran.firing.fired
        assert ran.acked == list(range(len(ran.acked)))
        assert rows(ran)[: len(ran.acked)] == ran.acked
        assert len(rows(ran)) <= len(ran.acked) + 1
    assert hit == 10


def test_an_ack_that_is_never_reached_is_a_miss(writers):
    ran = writers.run(PLAIN, "kill@ack#51")
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 0)
    assert not ran.firing.fired
    assert "never hit" in ran.firing.how


def test_a_kill_that_comes_after_the_end_is_a_miss(writers):
    ran = writers.run(PLAIN, "kill@ack#50 delay=60s")
    assert ran.ended.code == 0
    assert not ran.firing.fired


def test_a_writer_that_exits_by_itself_before_the_fault_is_a_miss(writers):
    ran = writers.run("odd_workloads:Exits", "kill@ack#20")
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 3)
    assert not ran.firing.fired


def test_a_writer_that_hangs_is_ended_at_its_deadline(writers, all_gone):
    writers.forget_pids()
    started = time.monotonic()
    ran = writers.run("odd_workloads:Hangs", "kill@ack#20", deadline_s=0.3)
    assert ran.ended.kind is EndKind.DEADLINE
    assert not ran.firing.fired
    assert time.monotonic() - started < 20
    all_gone(writers.pids()[:1])
    assert ran.acked == [0, 1, 2]


def test_a_step_that_raises_is_refused_and_the_run_goes_on(writers):
    for workload, there in (("Raises", False), ("RaisesAfterCommit", True)):
        ran = writers.run(f"odd_workloads:{workload}", params={"steps": 10})
        refused = [step for step in ran.history.steps if step.state is StepState.REFUSED]
        assert [step.seq for step in refused] == [3]
        assert refused[0].error.startswith("ValueError: ")
        assert ran.acked == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert (3 in rows(ran)) is there


def test_a_workload_that_cannot_open_says_why(writers):
    ran = writers.run("odd_workloads:CannotOpen")
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 70)
    assert "RuntimeError: no such exchange" in ran.ended.stderr
    assert any("no such exchange" in note.text for note in ran.history.notes)


@pytest.mark.parametrize("fault", ["kill@ack#5", "none"])
def test_what_a_writer_started_does_not_outlive_the_run(writers, all_gone, fault):
    writers.forget_pids()
    ran = writers.run("odd_workloads:Parent", fault)
    assert ran.firing.fired
    assert len(writers.pids()) == 2
    all_gone(writers.pids())


def test_other_processes_of_a_run_end_with_it(writers, all_gone):
    writers.forget_pids()
    ran = writers.run("odd_workloads:Dashboard", "kill@ack#30")
    assert ran.firing.fired
    assert ran.acked
    all_gone(writers.pids())
    assert {step.process for step in ran.history.steps} >= {0}
    assert [step.seq for step in ran.history.acked if step.process == 0] == list(range(30))


def test_lanes_of_one_process_run_side_by_side(writers):
    ran = writers.run("odd_workloads:TwoLanes", params={"steps": 40})
    assert ran.ended.code == 0, ran.ended.stderr
    assert rows(ran) == list(range(40))
    assert {(step.lane, step.seq % 2) for step in ran.history.acked} == {("even", 0), ("odd", 1)}


def test_what_a_writer_prints_hinders_nobody(writers):
    ran = writers.run("odd_workloads:SaysWhereItIs", "kill@ack#40")
    assert ran.firing.fired
    assert len(ran.acked) == 40


def test_the_effective_settings_are_probed_on_request(writers):
    probed = writers.run(PLAIN, probe=True).history.settings
    assert (probed["journal_mode"], probed["synchronous"], probed["page_size"]) == ("wal", "2", "4096")
    assert writers.run(PLAIN).history.settings == {}


def test_steps_and_the_log_are_limited(writers):
    assert len(writers.run(PLAIN, steps_max=7).acked) == 7
    ran = writers.run("odd_workloads:Endless", log_bytes_max=1 << 18, deadline_s=60)
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 70)
    assert "LimitError" in ran.ended.stderr


def test_no_descriptor_and_no_process_is_left_over_300_runs(writers):
    launcher = writers.launcher(PLAIN)
    zygote = psutil.Process(launcher._process.pid)

    def state():
        return zygote.num_fds(), len(os.listdir("/proc/self/fd")), zygote.children(recursive=True)

    writers.run(PLAIN, "hangup@ack#1", params={"steps": 5})
    before = state()
    for number in range(300):
        fault = ("kill@ack#2", "kill@ack#2 delay=50us", "hangup@ack#2", "none")[number % 4]
        writers.run(PLAIN, fault, params={"steps": 4})
    assert state() == before


def test_the_zygote_holds_no_connection_and_no_file_of_a_run(writers):
    launcher = writers.launcher(PLAIN)
    writers.run(PLAIN, "kill@ack#2")
    assert psutil.Process(launcher._process.pid).open_files() == []


def test_a_dead_zygote_is_an_error_of_the_lab_and_takes_its_writers_with_it(writers, all_gone):
    writers.forget_pids()
    launcher = writers._make("odd_workloads:EndsItsZygote", (str(Path(__file__).parent),))
    try:
        with pytest.raises(LabError, match="zygote"):
            launcher.launch(writers.order("odd_workloads:EndsItsZygote"))
        all_gone(writers.pids())
    finally:
        launcher.close()


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        ("no_such_module:x", "does not import"),
        ("plain_workload:plan", "did you mean 'plain'?"),
        ("plain_workload", "expected the form 'module:attr'"),
        ("plain_workload:", "expected the form 'module:attr'"),
        ("odd_workloads:NoLanes", "has no open, lanes, steps, restart, contract"),
    ],
)
def test_a_workload_that_is_none_is_refused_in_one_line(writers, workload, says):
    with pytest.raises(SubjectError) as caught:
        writers.launcher(workload)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
