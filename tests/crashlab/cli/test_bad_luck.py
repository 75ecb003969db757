"""Bad luck: a full disk, Ctrl-C, a killed lab, a closed pipe. Nothing is left behind, nothing is blamed wrongly."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from crashlab.engine import workspace as workspace_module
from crashlab.model.event import Event

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and process groups")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full or a tmpfs to fill")


# --- the end of the lab


def begin(project, *args, **more):
    """Start a campaign of a slow program; return it once trials have been judged, with all its children."""
    process = project.popen(*args, "--subject", "slow", "--workspace", project.directory.parent / "space", **more)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"it ended by itself: {process.communicate()}")
        for run in project.runs():
            records = run / "records.ndjson"  # the directory comes first
            if records.exists() and b'"trial-finished"' in records.read_bytes():
                return process, psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no trial was judged in a minute: {process.communicate()}")


@pytest.fixture
def space(project):
    directory = project.directory.parent / "space"
    directory.mkdir()
    return directory


def records(project):
    (run,) = project.runs()
    return [json.loads(line) for line in (run / "records.ndjson").read_bytes().splitlines()]


@posix
@pytest.mark.slow
def test_a_gate_that_is_interrupted(project, space):
    project.replace("trials = 60", "trials = 100000")
    process, children = begin(project, "gate")
    assert children
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, (out, err)
    assert err == "crashlab: interrupted\n"
    _gone, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert list(space.iterdir()) == []
    # What was found so far is kept, and labelled.
    assert "stopped because: interrupted" in out
    assert "the results are partial: interrupted" in out
    assert " INCONCLUSIVE " in out
    (run,) = project.runs()
    report = json.loads((run / "report.json").read_bytes())
    trials = [event for event in records(project) if event["kind"] == "trial-finished"]
    assert report["trials"] == len(trials) > 0
    assert (report["decision"], report["stop"]) == ("INCONCLUSIVE", "interrupted")
    assert any(row["group"] == "process death" and row["judged"] for row in report["rows"])


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_says_what_there_is(project, space, number):
    process, children = begin(project, "run", "--trials", "100000")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, (out, err)
    assert out.startswith("partial results: 0/")
    assert "(interrupted)" in out
    assert records(project)[-1]["data"]["stop"] == "interrupted"
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert list(space.iterdir()) == []


@linux
def test_a_lab_that_is_killed_itself(project, space):
    process, children = begin(project, "run", "--trials", "100000")
    process.kill()
    process.communicate(timeout=30)
    # Zygotes, writers and judges notice and die by themselves.
    _gone, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    # Whole lines only, up to the end.
    assert {event["format_version"] for event in records(project)} == {1}
    (left,) = space.iterdir()
    assert left.name.startswith(f"crashlab-{process.pid}-")
    with workspace_module.Workspace(str(space)) as fresh:
        assert list(space.iterdir()) == [fresh.root]
    assert list(space.iterdir()) == []


@linux
def test_a_lab_in_another_container_is_left_alone(space):
    """Its process number says nothing here: what counts is that somebody holds its lock."""
    with workspace_module.Workspace(str(space)) as theirs:
        unseen = theirs.root.rename(space / f"{workspace_module.PREFIX}{2**22 - 1}-abc")
        with workspace_module.Workspace(str(space)):
            assert unseen.exists()
        unseen.rename(theirs.root)


@pytest.mark.slow
@linux
def test_a_judge_in_a_restart_that_hangs_dies_with_its_lab(project, space):
    process = project.popen("run", "--subject", "stuck", "--workspace", space)
    deadline = time.monotonic() + 60
    while not list(space.glob("*/restarting")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=30)
    _gone, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@posix
def test_a_reader_that_goes_away(project):
    """`crashlab run --format ndjson | head -1`: no complaint, and no exit code that would mean something."""
    process = project.popen("run", "--subject", "slow", "--trials", "400", "--format", "ndjson", text=False)
    assert b"run-started" in process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert (process.wait(60), process.stderr.read()) == (130, b"")


@posix
@pytest.mark.parametrize("args", [("doctor",), ("run", "--trials", "2"), ("bench", "--help")])
def test_nobody_reads_at_all(project, args):
    reading, writing = os.pipe()
    os.close(reading)
    process = project.popen(*args, stdout=writing)
    os.close(writing)
    with process.stderr:
        assert (process.wait(60), process.stderr.read()) == (130, "")


# --- full disks


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 8 MiB."""
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only root on Linux can mount a small tmpfs")
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs could be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def fill_the_disk(ballast):
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(ballast).f_bavail == 0


def test_too_little_room_to_begin(crashlab, small_disk, project):
    answer = crashlab("run", "--workspace", small_disk)
    assert answer.code == 3, answer
    assert "has 8 MiB free, 64 MiB are needed; free some space or point --workspace elsewhere" in answer.err
    assert len(answer.err.splitlines()) == 1
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("command", ["run", pytest.param("gate", marks=pytest.mark.slow)])
def test_a_disk_that_fills_up_stops_the_campaign(crashlab, small_disk, project, monkeypatch, command):
    """Somebody else fills the lab's disk to the last byte in the middle of the campaign."""
    monkeypatch.setattr(workspace_module, "FREE_BYTES_MIN", 1 << 20)
    if command == "gate":
        project.replace("trials = 60", "trials = 100000")
    ballast = small_disk / "somebody-elses"
    seen = []

    def fill(event: Event):
        if event.kind == "trial-finished" and event.trial_id[:3] in ("run", "gat", "cam"):
            seen.append(event)
            if len(seen) == 5:
                fill_the_disk(ballast)

    where = "run_subject" if command == "run" else command
    monkeypatch.setattr(f"crashlab.cli.{where}.ProgressListener.__call__", lambda _self, event: fill(event))
    more = ["--trials", 100_000] if command == "run" else []
    answer = crashlab(command, "--workspace", small_disk, "--budget", "60s", *more)
    assert len(seen) >= 5
    # Not a finding: whatever trials met the full disk say nothing about the subject.
    assert answer.code == 3, answer
    assert "FAIL " not in answer.out
    assert "the lab's own disk is full" in answer.out
    trials = [event["data"]["outcome"] for event in records(project) if event["kind"] == "trial-finished"]
    assert {trial["verdict"] for trial in trials} <= {"PASS", "ERROR"}
    assert sum(trial["verdict"] == "PASS" for trial in trials) >= 5
    for trial in trials:
        assert not trial["findings"]
        assert not trial["error"] or "the lab's own disk is full" in trial["error"]
    assert [path.name for path in small_disk.iterdir()] == ["somebody-elses"]


def test_records_on_a_full_disk(crashlab, small_disk, project):
    """The results' disk is full: the run ends and still tells what it found."""
    with open(small_disk / "somebody-elses", "wb") as file:
        file.write(bytes(8 * 1024 * 1024 - 64 * 1024))
    answer = crashlab("run", "--results", small_disk, "--trials", 100_000, "--budget", "60s")
    assert answer.code == 3, answer
    assert "Traceback" not in answer.err
    assert "partial results: 0/" in answer.out
    lines = (small_disk / "runs" / "run-0001" / "records.ndjson").read_bytes().splitlines()
    assert len(lines) > 10
    assert all(json.loads(line)["format_version"] == 1 for line in lines)


@linux
def test_standard_output_on_a_full_disk(project):
    with open("/dev/full", "w") as full:
        process = project.popen("doctor", stdout=full)
    with process.stderr:
        said = process.stderr.read()
    assert (process.wait(60), said) == (3, "crashlab: the disk is full: No space left on device\n")


def test_a_case_that_cannot_be_kept_is_still_a_finding(crashlab, small_disk, project):
    """The results' disk takes no case directory, with its evidence; what was found is told all the same."""
    with open(small_disk / "somebody-elses", "wb") as file:
        file.write(bytes(8 * 1024 * 1024 - 40 * 1024))
    answer = crashlab("run", "--subject", "early", "--results", small_disk, "--trials", 3, "--fault", "kill@ack#5")
    assert answer.code == 1, answer
    assert "FAIL durability/acked-row-lost" in answer.out
    assert not list((small_disk / "runs" / "run-0001" / "cases").glob("*"))
