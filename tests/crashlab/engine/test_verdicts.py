"""Each verdict from a real trial: a real process, a real kill, the program's own restart."""

import time

import psutil
import pytest

from crashlab.engine import judge_client
from crashlab.errors import SubjectError, UsageError
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.history import EndKind
from crashlab.writers.launcher import can_hang_up


def named(outcome):
    return sorted(f"{f.identity.oracle}/{f.identity.invariant}" for f in outcome.findings)


def test_pass_with_everything_that_stands_behind_it(make_road):
    outcome = make_road().run(Case("plain", 1, "kill@ack#17"), "t1")
    assert (outcome.verdict, outcome.error, outcome.findings) == (Verdict.PASS, "", ())
    assert (outcome.trial_id, outcome.case.fault) == ("t1", "kill@ack#17")
    assert (outcome.acked, outcome.found) == (17, 17)
    assert (outcome.fired, outcome.phase) == ("killed by signal 9", "between")
    assert (outcome.ended.kind, outcome.ended.code) == (EndKind.SIGNALLED, 9)
    assert set(outcome.timings_us) == {"writer", "evidence", "exposure", "restart", "oracles"}
    assert outcome.case_dir == ""


def test_exposure_is_what_lived_in_the_wal_alone(make_road):
    road = make_road()
    killed = road.run(Case("plain", 1, "kill@ack#17"), "t1").exposure
    assert killed.rows == 17
    assert killed.frames >= 17 // 2
    assert killed.wal_bytes > 17 * 4096
    assert killed.seconds > 0
    closed = road.run(Case("plain", 1, "none"), "t2").exposure
    assert (closed.rows, closed.frames, closed.main_alone) == (0, 0, "readable")


@pytest.mark.parametrize(
    ("workload", "finding"),
    [("RestartForgets", "durability/acked-row-lost"), ("RestartInvents", "durability/row-from-nowhere")],
)
def test_fail_names_the_invariant(make_road, workload, finding):
    outcome = make_road(f"odd_workloads:{workload}", "odd").run(Case("odd", 1, "kill@ack#9"), "t1")
    assert outcome.verdict is Verdict.FAIL
    assert finding in named(outcome)
    identity = outcome.findings[0].identity
    assert (identity.subject, identity.fault_class) == ("odd", "process death")


def test_a_restart_that_refuses_is_a_finding(make_road):
    outcome = make_road("odd_workloads:RestartRefuses", "odd").run(Case("odd", 1, "kill@ack#9"), "t1")
    assert outcome.verdict is Verdict.FAIL
    assert any(finding.startswith("restart/") for finding in named(outcome))
    assert "the state file looks odd" in " ".join(str(f.message) + str(f.evidence) for f in outcome.findings)


@pytest.mark.parametrize("fault", ["kill@ack#51", "kill@phase=checkpoint#9", "damage@journal op=delete"])
def test_missed_when_the_fault_never_fires(make_road, fault):
    outcome = make_road().run(Case("plain", 1, fault), "t1")
    assert (outcome.verdict, outcome.findings, outcome.error) == (Verdict.MISSED, (), "")
    assert outcome.fired


def test_missed_when_the_writer_ends_well_before_its_terminal_closes(make_road):
    if not can_hang_up():
        pytest.skip("no writer on a pseudo-terminal here")
    assert make_road().run(Case("plain", 1, "hangup@ack#51"), "t1").verdict is Verdict.MISSED


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        ("Hangs", "still running at its deadline of 0.3 s"),
        ("Exits", "exited with code 3"),
        ("CannotOpen", "no such exchange"),
    ],
)
def test_error_when_the_writer_breaks(make_road, workload, says):
    outcome = make_road(f"odd_workloads:{workload}", "odd").run(Case("odd", 1, "kill@ack#20", deadline_s=0.3), "t1")
    assert outcome.verdict is Verdict.ERROR
    assert says in outcome.error
    assert outcome.findings == ()


def test_error_when_the_lab_loses_its_own_process_and_the_next_trial_runs(make_road):
    road = make_road("odd_workloads:EndsItsZygote", "odd")
    for number in range(2):
        outcome = road.run(Case("odd", 1, "kill@ack#2"), f"good{number}")
        assert outcome.verdict is Verdict.PASS
        outcome = road.run(Case("odd", 1, "kill@ack#20", deadline_s=5), f"bad{number}")
        assert outcome.verdict is Verdict.ERROR


def test_error_on_a_closed_road(make_road):
    road = make_road()
    road.close()
    outcome = road.run(Case("plain", 1, "kill@ack#2"), "t1")
    assert outcome.verdict is Verdict.ERROR
    assert "closed" in outcome.error


def test_a_refused_step_may_or_may_not_be_there(make_road):
    for workload in ("Raises", "RaisesAfterCommit"):
        outcome = make_road(f"odd_workloads:{workload}", "odd").run(Case("odd", 1, "kill@ack#9"), "t1")
        assert outcome.verdict is Verdict.PASS, outcome.findings


def test_a_reader_that_pins_a_snapshot_is_no_finding(make_road, told_pids):
    road = make_road("odd_workloads:Dashboard", "odd", {"checkpoint_every": 5})
    for fault in ("kill@ack#20", "none"):
        outcome = road.run(Case("odd", 1, fault), "t1")
        assert outcome.verdict is Verdict.PASS, outcome.findings or outcome.error
    assert not any(psutil.pid_exists(pid) for pid in told_pids())


def test_a_restart_that_hangs_is_a_finding_and_leaves_no_process(make_road, told_pids, monkeypatch):
    monkeypatch.setattr(judge_client, "RESTART_S", 1.0)
    road = make_road("odd_workloads:RestartHangs", "odd")
    for _ in range(2):  # the road goes on with a new judge
        outcome = road.run(Case("odd", 1, "kill@ack#9"), "t1")
        assert (outcome.verdict, named(outcome)) == (Verdict.FAIL, ["restart/hangs"])
    assert "had not come up after 1.0 s" in outcome.findings[0].message
    _assert_gone(told_pids())


def test_a_restart_that_takes_its_process_down_is_a_finding_and_leaves_no_process(make_road, told_pids):
    road = make_road("odd_workloads:RestartDies", "odd")
    for _ in range(2):
        outcome = road.run(Case("odd", 1, "kill@ack#9"), "t1")
        assert (outcome.verdict, named(outcome)) == (Verdict.FAIL, ["restart/dies"])
    assert "(code 5)" in outcome.findings[0].message
    _assert_gone(told_pids())


def _assert_gone(pids):
    assert len(pids) == 4
    limit = time.monotonic() + 10
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < limit, "what a restart path had started is still there"
        time.sleep(0.01)


def test_params_of_the_case_go_over_the_subjects_over_the_workloads(make_road):
    road = make_road(params={"steps": 7})
    assert road.declared_params() == {"steps": 7, "checkpoint_every": 0}
    assert road.run(Case("plain", 1, "none"), "t1").acked == 7
    assert road.run(Case("plain", 1, "none", {"steps": 4}), "t1").acked == 4


def test_an_unknown_parameter_is_refused_with_a_hint(make_road):
    with pytest.raises(UsageError, match="did you mean 'steps'"):
        make_road().run(Case("plain", 1, "none", {"step": 4}), "t1")
    with pytest.raises(UsageError, match="subject 'plain' has no parameter 'stpes'"):
        make_road(params={"stpes": 4}).declared_params()


def test_a_bad_fault_and_a_subject_that_does_not_import_are_refused(make_road):
    with pytest.raises(UsageError, match="unknown fault"):
        make_road().run(Case("plain", 1, "kil@ack#1"), "t1")
    with pytest.raises(SubjectError, match="did you mean 'plain'"):
        make_road("plain_workload:plan").run(Case("plain", 1, "none"), "t1")
