"""The rules that hold across processes, with real ones."""

import os
import signal
import sqlite3
import time

import pytest

from store import RunLedger
from store.run_ledger.schema import MIGRATIONS


def test_many_processes_migrate_an_old_ledger_at_once(child, make, path):
    old = make(cls=type("VersionOne", (RunLedger,), {"migrations": MIGRATIONS[:1]}))
    old._write("INSERT INTO protocol_runs VALUES ('old', 'a', 'p', 'running', 'first', 1600000000, NULL, NULL)", ())
    old.close()
    code = (
        "say('ready'); wait()\n"
        "with RunLedger(path, instance=sys.argv[2]) as ledger:\n"
        "    run = ledger.start_run(sys.argv[2], agent=sys.argv[2], protocol='p')\n"
        "    say([run.status, ledger.get_run('old').created_at])\n"
    )
    children = [child(code, path, n) for n in range(4)]
    assert [one.heard() for one in children] == ["ready"] * 4
    for one in children:
        one.go()
    assert [one.heard() for one in children] == [["loading", 1_600_000_000 * 10**9]] * 4
    assert [one.process.wait(30) for one in children] == [0] * 4


def test_the_cap_holds_across_processes(child, path):
    code = (
        "ledger = RunLedger(path, max_active_per_agent=3); ledger.initialize_database(); say('ready'); wait()\n"
        "started = refused = most = 0\n"
        "for i in range(60):\n"
        "    run = f'{sys.argv[2]}-{i}'\n"
        "    try: ledger.start_run(run, agent='a', protocol='p'); started += 1\n"
        "    except RunCapReached: refused += 1; continue\n"
        "    finally: most = max(most, ledger.count_active('a'))\n"
        "    time.sleep(0.01); ledger.cancel_run(run)\n"
        "say([started, refused, most]); ledger.close()\n"
    )
    children = [child(code, path, n) for n in range(5)]
    assert [one.heard() for one in children] == ["ready"] * 5
    for one in children:
        one.go()
    outcomes = [one.heard() for one in children]
    assert max(most for _, _, most in outcomes) == 3
    assert sum(refused for _, refused, _ in outcomes) > 0  # they did get in each other's way
    assert [one.process.wait(30) for one in children] == [0] * 5


OWNER = (
    "ledger = RunLedger(path, instance='owner'); ledger.initialize_database()\n"
    "ledger.start_run('r', agent='a', protocol='p'); ledger.mark_running('r', total_steps=1000)\n"
    "alive, step = True, 0\n"
    "say('working')\n"
    "while alive and step < 1000:\n"
    "    step += 1; alive = ledger.advance('r', step); time.sleep(0.01)\n"
    "say([ledger.heartbeat('r'), ledger.mark_running('r'), ledger.advance('r', 1000), ledger.complete_run('r'),\n"
    "     sorted(ledger.owned)])\n"
)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize("taken_by", ["reaper", "adopter"])
def test_an_owner_paused_past_its_heartbeat_cannot_have_its_run_back(child, path, taken_by):
    owner = child(OWNER, path)
    assert owner.heard() == "working"
    with RunLedger(path, instance="other") as ledger:
        for _ in range(3):
            assert ledger.fail_stale_runs(10) == []  # it lives
        while not _stopped_outside_a_transaction(owner.process.pid, ledger):
            pass
        deadline = time.monotonic() + 20
        while not (ledger.fail_stale_runs(0.2) if taken_by == "reaper" else ledger.adopt_run("r", older_than_s=0.2)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        taken = ledger.get_run("r")
        os.kill(owner.process.pid, signal.SIGCONT)
        assert owner.heard() == [False, False, False, False, []]
        assert owner.process.wait(30) == 0
        assert ledger._find("r") == taken
        assert taken.status == ("failed" if taken_by == "reaper" else "running")
        assert taken.fence == 2


def _stopped_outside_a_transaction(pid, ledger):
    """Pause the process; one that holds the write lock is let go again, or nobody could write."""
    os.kill(pid, signal.SIGSTOP)
    ledger._connection.execute("PRAGMA busy_timeout = 50")
    try:
        with ledger.transaction():
            pass
    except sqlite3.OperationalError:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.005)
        return False
    finally:
        ledger._connection.execute("PRAGMA busy_timeout = 5000")
    return True


def test_cancels_that_race_completions_leave_one_end_each(child, path):
    owner = child(
        "ledger = RunLedger(path, instance='owner', max_active_per_agent=100); ledger.initialize_database()\n"
        "say('ready'); wait()\n"
        "ends = {}\n"
        "for i in range(80):\n"
        "    run = f'r{i}'\n"
        "    ledger.start_run(run, agent='a', protocol='p')\n"
        "    ends[run] = ledger.mark_running(run) and ledger.complete_run(run)\n"
        "say([run for run, completed in ends.items() if completed])\n",
        path,
    )
    canceller = child(
        "ledger = RunLedger(path); ledger.initialize_database(); say('ready'); wait()\n"
        "closed, end = set(), time.monotonic() + 30\n"
        "while ledger.get_run('r79') is None or ledger.count_active():\n"
        "    assert time.monotonic() < end\n"
        "    for run in ledger.active_runs():\n"
        "        if ledger.cancel_run(run.run_id): closed.add(run.run_id)\n"
        "say(sorted(closed))\n",
        path,
    )
    assert owner.heard() == canceller.heard() == "ready"
    canceller.go()
    owner.go()
    completed, closed = set(owner.heard()), set(canceller.heard())
    with RunLedger(path) as ledger:
        assert {run.run_id for run in ledger.runs(status="completed")} == completed
        assert {run.run_id for run in ledger.runs(status="closed")} == closed
        assert len(completed) + len(closed) == len(ledger.runs()) == 80


def test_a_killed_owner_is_reaped_and_its_ended_runs_are_served(child, path):
    owner = child(
        "ledger = RunLedger(path, instance='owner'); ledger.initialize_database()\n"
        "for run in ('done', 'left'):\n"
        "    ledger.start_run(run, agent='a', protocol='p'); ledger.mark_running(run, total_steps=7)\n"
        "    ledger.advance(run, 7 if run == 'done' else 4)\n"
        "ledger.complete_run('done'); say('now'); wait()\n",
        path,
    )
    assert owner.heard() == "now"
    owner.process.kill()
    owner.process.wait(30)
    with RunLedger(path) as ledger:
        assert ledger.get_run("left").status == "running"  # a start fails nothing by itself
        time.sleep(0.05)
        assert ledger.fail_stale_runs(0.04) == ["left"]
        seen = {run.run_id: (run.status, run.step_index, run.total_steps) for run in ledger.runs()}
        assert seen == {"done": ("completed", 7, 7), "left": ("failed", 4, 7)}
