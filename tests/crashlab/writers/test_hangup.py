"""The terminal goes away, on a real pseudo-terminal, for four kinds of program."""

import time

import pytest

from crashlab.model.history import EndKind
from crashlab.model.phase import Phase, death_phases
from crashlab.writers.launcher import can_hang_up

pytestmark = pytest.mark.skipif(not can_hang_up(), reason="no writer on a pseudo-terminal here")
PLAIN = "plain_workload:plain"
LONG = {"steps": 20_000}


def test_the_default_disposition_dies_of_sighup(writers):
    ran = writers.run(PLAIN, "hangup@ack#5 grace=2s", params=LONG)
    assert (ran.ended.kind, ran.ended.code) == (EndKind.SIGNALLED, 1)
    assert ran.ended.hung_up
    assert not ran.ended.grace_kill
    assert ran.firing == type(ran.firing)(fired=True, how="ended by SIGHUP")
    assert ran.acked[:5] == [0, 1, 2, 3, 4]


def test_a_program_that_ignores_it_is_killed_at_the_end_of_the_grace(writers):
    started = time.monotonic()
    ran = writers.run("odd_workloads:Endless", "hangup@ack#5 on=ignore grace=200ms")
    assert time.monotonic() - started >= 0.2
    assert (ran.ended.kind, ran.ended.code) == (EndKind.SIGNALLED, 9)
    assert ran.ended.grace_kill
    assert ran.firing.how == "killed at the end of the grace"
    assert len(ran.acked) > 20  # it went on in its grace


def test_a_program_that_prints_dies_of_its_next_line(writers):
    ran = writers.run(PLAIN, "hangup@ack#5 on=print grace=5s", params=LONG)
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 70)
    assert ran.firing.how == "ended by EIO on its next print"


def test_a_program_that_handles_it_closes_in_time(writers):
    ran = writers.run(PLAIN, "hangup@ack#5 on=handle grace=5s", params=LONG)
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 0)
    assert ran.firing.how == "ended by its own handler, exit code 0"
    assert death_phases(ran.history) == ()
    assert any(phase.name == "close" and phase.leave_ns for phase in ran.history.phases)


def test_a_close_that_outlasts_the_grace_is_killed_in_the_middle(writers):
    ran = writers.run("odd_workloads:SlowClose", "hangup@ack#5 on=handle grace=300ms", params=LONG)
    assert ran.ended.grace_kill
    assert ran.firing.fired
    assert death_phases(ran.history) == (Phase.CLOSE_AFTER,)


def test_a_program_that_has_ended_before_its_terminal_closed_was_missed(writers):
    ran = writers.run(PLAIN, "hangup@ack#51")
    assert ran.ended.code == 0
    assert not ran.ended.hung_up
    assert not ran.firing.fired
    assert "never closed on a running writer" in ran.firing.how


@pytest.mark.parametrize("on", ["default", "ignore", "print", "handle"])
def test_a_program_with_nothing_left_to_do_still_meets_its_closing_terminal(writers, on):
    """The last ack closes the terminal: the program must not slip out of the door first."""
    for _ in range(3):
        ran = writers.run(PLAIN, f"hangup@ack#50 on={on} grace=50ms")
        assert ran.firing.fired, ran.firing.how
        assert len(ran.acked) == 50


def test_a_hang_up_can_hit_a_checkpoint_and_the_start(writers):
    ran = writers.run(PLAIN, "hangup@phase=checkpoint#2 grace=1s", params={"steps": 5000, "checkpoint_every": 5})
    assert ran.firing.fired
    assert len(ran.acked) >= 9
    ran = writers.run(PLAIN, "hangup@start grace=1s", params=LONG)
    assert ran.firing.fired
