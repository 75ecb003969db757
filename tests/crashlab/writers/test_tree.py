"""Any command as a tree of processes: nothing of it escapes, nothing of it is left, nothing outside is written."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from crashlab.writers.tree.confine import confinement_problem

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="trees are tracked on Linux")

RUNNER = """
import json, os, sys
import msgspec
from crashlab.writers.tree.confine import confine, confinement_problem
from crashlab.writers.tree.processes import adopt_orphans, descendants
from crashlab.writers.tree.run import TreeOrder, run_tree

adopt_orphans()
order = msgspec.json.decode(sys.stdin.buffer.read(), type=TreeOrder)
if not confinement_problem():
    confine(order.area)
ran = run_tree(order)
print(json.dumps({**msgspec.to_builtins(ran), "descendants": descendants()}))
"""


@pytest.fixture
def run(tmp_path):
    """Run a shell command in a keeper of its own."""
    work = tmp_path / "area" / "work"
    work.mkdir(parents=True)

    def run(script, argv=(), **more):
        order = {"argv": argv or ("sh", "-c", script), "cwd": str(work), "area": str(work.parent)}
        order["environment"] = {"PATH": os.environ["PATH"], "TMPDIR": str(work.parent)}
        done = subprocess.run(
            [sys.executable, "-c", RUNNER],
            input=json.dumps({**order, **more}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["descendants"] == []
        return told

    run.work = work
    return run


DAEMON = """(setsid env -i /bin/sh -c 'echo $$ > pid; exec sleep 77' &); while ! test -s pid; do :; done; echo done 7"""


def test_a_daemon_in_a_session_of_its_own_and_with_no_environment_is_killed_too(run):
    told = run(f"{DAEMON}; sleep 77", signal=signal.SIGKILL, after_acks=1, ack_on=r"done (\d+)")
    assert told["fired"]
    assert told["code"] == -9
    assert [key for key, _ in told["acked"]] == ["7"]
    assert not psutil.pid_exists(int((run.work / "pid").read_text()))


def test_a_kill_after_the_end_has_not_fired_and_what_outlives_the_first_process_counts(run):
    late = run("true", signal=signal.SIGKILL, delay_us=2_000_000)
    assert not late["fired"]
    assert (late["code"], late["hit_us"]) == (0, 0)
    left = run(DAEMON, signal=signal.SIGKILL, after_acks=1, delay_us=300_000, ack_on="done")
    assert left["fired"]
    assert left["left"]
    assert left["code"] == 0
    assert "outlived the first" in left["how"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done", "exit code 5"),
        ("trap '' TERM; echo up; while :; do sleep 0.01; done", "it still ran after 0.3 s and was killed"),
        ("echo up; while :; do sleep 0.01; done", "it died of signal 15"),
    ],
)
def test_a_signal_that_can_be_handled(run, script, says):
    told = run(script, signal=signal.SIGTERM, after_acks=1, delay_us=30_000, ack_on="up", grace_s=0.3)
    assert told["fired"]
    assert says in told["how"]


@pytest.mark.parametrize(
    ("script", "limits", "says"),
    [
        ("yes", {"output_bytes": 4 << 20}, "printed more than 4 MiB"),
        ("while :; do sleep 77 & done", {"processes": 30}, "more than 30 processes"),
        ("head -c 9000000 /dev/zero > a; sleep 77", {"disk_bytes": 8 << 20}, "wrote more than 8 MiB"),
        ("exec 1>&- 2>&-; sleep 77", {"seconds": 0.3}, "ran for 0.3 s, the limit"),
    ],
)
def test_limits(run, script, limits, says):
    told = run(script, limits=limits)
    assert says in told["limit"]
    assert not told["fired"]


@pytest.mark.skipif(bool(confinement_problem()), reason=confinement_problem() or "-")
def test_nothing_outside_is_written_whatever_the_program_is(run, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    inside = "mkdir d; echo 1 > d/a; mv d/a b; ln -s b c; echo 2 > /dev/null; cat b"
    told = run(f"echo 2 > {outside}; rm {outside}; mv {outside} {outside}.2; echo 3 > {outside}.3; {inside}")
    assert told["stdout"] == "1\n"
    assert outside.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"area", "outside"}
    semaphores = "import multiprocessing as m; m.Lock(); q = m.Queue(); q.put(5); print(q.get())"
    assert run("", argv=(sys.executable, "-c", semaphores))["stdout"] == "5\n"


def test_databases_that_are_open_are_seen_by_where_they_are(run, tmp_path):
    script = (
        "import sqlite3, time; c = sqlite3.connect({!r}); c.execute('create table if not exists t(x)'); time.sleep({})"
    )
    told = run("", argv=(sys.executable, "-c", script.format("in.db", 0.2)))
    assert told["opened"] == [str(run.work / "in.db")]
    assert told["opened_us"] > 0
    other = tmp_path / "other.db"
    subprocess.run([sys.executable, "-c", script.format(str(other), 0)], check=True, timeout=60)
    told = run("", argv=(sys.executable, "-c", script.format(str(other), 77)))
    assert told["elsewhere"] == [str(other)]
