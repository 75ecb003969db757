"""`crashlab run --resume`: after a SIGKILL of the lab at any moment the same campaign goes on."""

import collections
import shutil
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import psutil
import pytest

from crashlab.engine.results.append import reopen_records
from crashlab.engine.results.read import Records

FAULTS = ("--fault", "kill@ack#4", "--fault", "states@kill#60")


def told(directory):
    """What each trial showed that is the same whenever it runs; each must be there once."""
    found = {}
    for outcome in Records(directory).outcomes():
        assert outcome.trial_id not in found
        computed = outcome.states if outcome.case.fault.startswith("states@") else None
        found[outcome.trial_id] = outcome.case, outcome.verdict, computed
    return found


def finish(project, *args):
    done = project.popen("run", *args)
    out, err = done.communicate(timeout=600)
    assert done.returncode == 0, err
    return out, err


def written(run):
    path = run / "records.ndjson"
    return path.stat().st_size if path.exists() else 0


def kill_and_resume(project, kills, trials, seed):
    """Kill the lab at random moments, each time taking the campaign up again; returns the run's directory."""
    rng = Random(seed)
    process = project.popen("run", *FAULTS, "--trials", trials, "--results", "killed", stderr=subprocess.STDOUT)
    killed = 0
    said = ""
    run = project.directory / "killed" / "runs" / "run-0001"
    while killed < kills:
        deadline = time.monotonic() + 60
        before = written(run)
        # Half of the kills come as soon as something was recorded, the others at any time.
        early = rng.random() < 0.5
        until = time.monotonic() + rng.uniform(0.2, 3.0)
        while time.monotonic() < deadline and process.poll() is None:
            if written(run) > before + rng.randrange(1, 6000) if early else time.monotonic() > until:
                break
            time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0]
        killed += 1
        if killed == kills:
            break
        if not (run / "records.ndjson").exists() or not any(True for _ in Records(run)):
            shutil.rmtree(project.directory / "killed", ignore_errors=True)  # nothing was begun yet
            again = ("run", *FAULTS, "--trials", trials, "--results", "killed")
        else:
            again = ("run", "--resume", run)
        process = project.popen(*again, stderr=subprocess.STDOUT)
    assert "Traceback" not in said
    finish(project, "--resume", run)
    return run


def campaign_survives(project, kills, trials, seed):
    finish(project, *FAULTS, "--trials", trials, "--results", "whole")
    run = kill_and_resume(project, kills, trials, seed)
    assert told(run) == told(project.directory / "whole" / "runs" / "run-0001")
    records = Records(run)
    assert [record.seq for record in records] == list(range(sum(1 for _ in records)))
    assert records.torn == 0
    kinds = collections.Counter(record.kind for record in records)
    assert kinds["trial-finished"] == trials
    left = [
        p.info["pid"] for p in psutil.process_iter(["pid", "cwd"]) if p.info["cwd"] == str(project.directory.resolve())
    ]
    assert left == []
    return kinds


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lab_killed_five_times_goes_on(project):
    campaign_survives(project, kills=5, trials=40, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_a_lab_killed_a_hundred_times_goes_on(project):
    kinds = campaign_survives(project, kills=100, trials=500, seed=2)
    assert kinds["run-resumed"] >= 30  # the other kills came before anything was recorded


def test_a_run_goes_on_and_others_are_refused_by_name(crashlab, project):
    first = crashlab("run", "--trials", 6, "--fault", "kill@ack#4", "--budget", "trials=3")
    assert "the budget of trials was used up" in first.out
    run = project.runs()[0]
    with open(run / "records.ndjson", "ab") as file:
        file.write(b'{"seq": 7, "ns"')
    with reopen_records(run):
        assert "another crashlab is writing" in crashlab("run", "--resume", run).err
    answer = crashlab("run", "--resume", run, "--trials", 8)
    assert answer.code == 0, answer
    assert "3 of 8 trials are recorded; a torn last line of 15 bytes is cut off; 5 to go" in answer.err
    assert "0/8, 95 % upper bound" in answer.out
    assert len(told(run)) == 8
    assert "0 to go" in crashlab("run", "--resume", run).err
    app = project.directory / "small_app.py"
    app.write_text(app.read_text() + "\n# changed\n")
    for args, said in (
        ((run,), "the code of subject 'good':"),
        ((run, "--seed", 3), "--seed is given: with --resume the run's records tell it"),
        ((run, "--fault", "kill@ack#1"), "--fault is given: with --resume"),
        ((project.directory,), "no records.ndjson in this directory"),
        ((project.directory / "none",), "no such file"),
        ((project.config,), "not the records of a campaign"),
    ):
        answer = crashlab("run", "--resume", *args)
        assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1), answer
        assert said in answer.err
    assert len(told(run)) == 8


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--budget", "states=x"), "expected a whole number above zero"),
        (("--budget", "stats=1"), "did you mean 'states'"),
        (("--budget", "1s", "--budget", "2s"), "a time was given already"),
        (("--budget", "findings=0"), "above zero"),
        (("--executor", "proceses=2"), "did you mean 'processes'"),
        (("--executor", "processes"), "expected processes=N"),
        (("--executor", "dask=localhost"), "expected the scheduler's address"),
        (("--resume", "x", "--param", "a=1"), "--param is given"),
        (("--executor", "threads=2", "--", "true"), "--executor is about a subject"),
        (("--fault", "kill", "--budget", "states=5", "--", "true"), "real kills of a COMMAND take a DURATION"),
    ],
)
def test_wrong_words_are_refused(refused, args, said):
    assert said in refused("run", *args)


def test_findings_and_states_end_a_run_by_name(crashlab, project):
    answer = crashlab("run", "--subject", "early", "--fault", "states@kill#40", "--trials", 9, "--budget", "findings=1")
    assert answer.code == 1
    assert "the budget of findings was used up" in answer.out
    assert "FAIL durability/" in answer.out
    assert " crash states, " in answer.out
    assert "  state      kill@op=" in answer.out
    assert "  reduce     crashlab reduce " in answer.out
    assert len(told(project.runs()[0])) < 9
    case = next((project.runs()[0] / "cases").iterdir())
    assert {"case.json", "timeline.txt", "trace"} <= {path.name for path in Path(case).iterdir()}
    answer = crashlab("run", "--fault", "states@kill#40", "--trials", 9, "--budget", "states=50", "--slots", 1)
    assert "the budget of crash states was used up" in answer.out
