"""The fixture `crashlab`: trials in a test, and what a failure tells."""

import json
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import psutil
import pytest

FAILING = """
import os
import psutil
import pytest

def test_good(crashlab):
    trials = crashlab.run("good", fault=["kill@ack#5", "kill@phase=commit#3 delay=40us"], trials=6)
    trials.assert_passed(judged_min=3)
    assert not trials.failures
    children = psutil.Process().children(recursive=True)
    assert children  # kept warm for the next test
    for child in children if hasattr(os, "getsid") else ():
        assert os.getpgid(child.pid) != os.getpgid(0)
        assert os.getsid(child.pid) != os.getsid(0)

@pytest.mark.crashlab(seed=11, trials=4)
def test_broken(crashlab):
    crashlab.run("small_workload:Broken", fault="kill@ack#6").assert_passed()

def test_judged_by_hand(crashlab):
    assert not crashlab.run("small_workload:Broken", fault="kill@ack#6", trials=1).failures

def test_missed(crashlab):
    crashlab.run("small_workload:Good", fault="kill@ack#999", trials=2).assert_passed()

def test_unknown(crashlab):
    crashlab.run("goood")
"""


def test_a_failing_test_names_invariant_fault_seed_files_and_a_command_that_works(project):
    project.write("test_it.py", FAILING)
    session = project.pytest("-n2", "--junitxml=junit.xml", "-rA")
    assert session.code == 1
    assert "4 failed, 1 passed" in session.out
    message = [line.removeprefix("E").strip() for line in session.out.splitlines() if line.startswith("E ")]
    assert any("4 of 4 trials judged, 4 failed, 0 missed, 0 errors of the lab, seed 11" in line for line in message)
    assert "invariant    durability/acked-row-lost, violated in 4 of 4 judged trials" in message
    assert "fault        kill@ack#6" in message
    # The section is there when the test judges by hand, too.
    assert len(session.lines("CRASH POINT  killed by signal 9")) == 2
    assert any("not enough evidence: 0 trials were judged, at least 1 are wanted" in line for line in message)
    assert any("neither 'module:attr' nor a subject of" in line and "did you mean 'good'?" in line for line in message)
    # Each worker has written in a directory of its own; the good trials have left nothing.
    assert {name[:10] for name in project.runs()} <= {"pytest-gw0", "pytest-gw1"}
    replay = next(line for line in message if line.startswith("replay ")).removeprefix("replay").strip()
    words = shlex.split(replay)
    assert words[0] == "crashlab"
    again = subprocess.run(
        [sys.executable, "-c", "from crashlab.cli import main; main()", *words[1:], "--times", "2"],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
    )
    assert again.returncode == 1, again.stderr
    assert "reproduced 2/2" in again.stdout
    cases = {case.get("name"): case for case in ElementTree.parse(project.directory / "junit.xml").iter("testcase")}
    properties = [p.get("value") for p in cases["test_broken"].iter("property")]
    assert "durability/acked-row-lost in 4" in properties


def test_passing_trials_leave_no_files_and_no_processes(project):
    project.write(
        "test_it.py",
        "import crashlab as lab, json, psutil\n"
        "def test_it(crashlab, tmp_path_factory):\n"
        "    crashlab.run('small_workload:Good', trials=3).assert_passed()\n"
        "    pids = [child.pid for child in psutil.Process().children(recursive=True)]\n"
        f"    open({str(project.directory / 'pids')!r}, 'w').write(json.dumps(pids))\n",
    )
    session = project.pytest()
    assert session.code == 0, session.out
    assert project.runs() == []
    pids = json.loads((project.directory / "pids").read_text())
    assert pids
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.slow
def test_trials_end_before_pytest_timeout_ends_the_test(project):
    project.write(
        "test_it.py",
        "def test_hangs(crashlab):\n"
        "    crashlab.run('small_workload:Good', params={'sleep_s': 60.0}).assert_passed()\n",
    )
    session = project.pytest("--timeout=10")
    assert session.code == 1
    assert "ended in mid-trial: the run's time was up" in session.out
    assert "Timeout (>" not in session.out
