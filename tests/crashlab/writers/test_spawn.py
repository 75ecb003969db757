"""Writers where there is no sound fork; runs everywhere."""

import sqlite3
import sys
import time
from contextlib import closing

import psutil
import pytest

from crashlab.errors import SubjectError, UsageError
from crashlab.model.history import EndKind
from crashlab.model.phase import Phase, death_phases
from crashlab.writers.spawn import SpawnLauncher

PLAIN = "plain_workload:plain"


@pytest.fixture(scope="module")
def spawned(writers):
    root = writers.root / "spawned"
    root.mkdir()
    made = type(writers)(root, SpawnLauncher)
    yield made
    made.close()


def rows(ran):
    with closing(sqlite3.connect(ran.order.database)) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM t ORDER BY id")]


def test_a_run_ends_of_itself(spawned):
    ran = spawned.run(PLAIN)
    assert (ran.ended.kind, ran.ended.code) == (EndKind.EXITED, 0)
    assert ran.acked == list(range(50)) == rows(ran)


def test_a_kill_after_the_kth_ack_is_exact(spawned):
    ran = spawned.run(PLAIN, "kill@ack#17")
    assert (ran.ended.kind, ran.ended.code) == (EndKind.SIGNALLED, 9)
    assert ran.firing.fired
    assert ran.acked == list(range(17)) == rows(ran)


def test_a_phase_is_hit(spawned):
    ran = spawned.run(PLAIN, "kill@phase=commit-ack#3")
    assert death_phases(ran.history) == (Phase.COMMIT_ACK,)


def test_a_delayed_kill_comes_from_outside(spawned):
    ran = spawned.run(PLAIN, "kill@ack#3 delay=20ms", params={"steps": 100_000})
    assert ran.firing.fired
    assert len(ran.acked) > 3
    assert rows(ran)[: len(ran.acked)] == ran.acked


def test_an_ack_that_is_never_reached_is_a_miss(spawned):
    ran = spawned.run(PLAIN, "kill@ack#51")
    assert ran.ended.code == 0
    assert not ran.firing.fired


def test_a_writer_that_hangs_is_ended_at_its_deadline(spawned, all_gone):
    started = time.monotonic()
    ran = spawned.run("odd_workloads:Hangs", deadline_s=2.0)
    assert ran.ended.kind is EndKind.DEADLINE
    assert time.monotonic() - started < 30
    all_gone(spawned.pids()[:1])


def test_other_processes_and_children_end_with_the_run(spawned, all_gone):
    spawned.forget_pids()
    assert spawned.run("odd_workloads:Dashboard", "kill@ack#10").firing.fired
    all_gone(spawned.pids())


@pytest.mark.skipif(sys.platform == "win32", reason="a killed process's children are not told on Windows")
def test_children_of_a_writer_that_ends_by_itself_do_not_stay(spawned):
    before = set(psutil.pids())
    assert spawned.run(PLAIN).ended.code == 0
    ours = {p.pid for p in psutil.Process().children(recursive=True)}
    assert not ours - before


def test_a_hang_up_is_refused_by_name(spawned):
    with pytest.raises(UsageError, match="hang-up is not supported on"):
        spawned.run(PLAIN, "hangup@ack#3")


def test_a_workload_that_does_not_import_is_refused(spawned):
    with pytest.raises(SubjectError, match="does not import"):
        spawned.run("no_such_module:x")


def test_a_workload_that_cannot_open_says_why(spawned):
    ran = spawned.run("odd_workloads:CannotOpen")
    assert ran.ended.code == 70
    assert "no such exchange" in ran.ended.stderr
