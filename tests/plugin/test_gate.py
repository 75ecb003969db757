"""`pytest --crashlab-gate`: the gate of `crashlab gate`, one test item a row."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from crashlab.decide.config import Config
from crashlab.gallery.controls.registry import CONTROLS
from crashlab.pytest_plugin.gate_once import GateResult, run_or_wait
from crashlab.pytest_plugin.settings import Settings

TESTS = "def test_one(): pass\ndef test_two(): pass\n"
ROWS = [
    "environment",
    *(f"control[{control.id}]" for control in CONTROLS),
    "interference",
    "trace-road",
    "no-fault",
    "kill[checkpoint_every=0]",
    "kill[checkpoint_every=5]",
    *(f"hangup[{on}]" for on in ("default", "ignore", "print", "handle") if sys.platform.startswith("linux")),
    "requirements",
    "phases",
    "decision",
]


def report_of(project):
    (run,) = project.runs()
    return json.loads((project.directory / ".crashlab" / "runs" / run / "report.json").read_text())


def test_the_items_are_the_rows_and_are_known_before_the_gate_runs(project):
    project.write("test_it.py", TESTS)
    session = project.pytest("--crashlab-gate", "--collect-only", "-q", "--crashlab-db=x.db")
    assert session.code == 0
    names = [line.removeprefix("crashlab-gate::") for line in session.lines("crashlab-gate::")]
    assert names == ["preflight", *ROWS]
    assert f"{len(names) + 2} tests collected" in session.out
    assert project.runs() == []


def test_go_passes_and_shows_the_table(project):
    project.write("test_it.py", TESTS)
    session = project.pytest("--crashlab-gate", "-v", "-k", "crashlab-gate", "--strict-markers")
    assert session.code == 0, session.out
    assert "crashlab: gate of subject good, 60 trials in at most 40 s, seed 1" in session.out
    assert "test_one" not in session.out
    for name in ("environment", "control[ack-before-commit]", "kill[checkpoint_every=5]", "phases", "decision"):
        assert session.lines(f"crashlab-gate::{name} PASSED"), name
    assert session.lines("crashlab-gate::control[off-power-loss] PASSED")
    assert session.lines("crashlab-gate::trace-road PASSED")
    assert session.lines("crashlab-gate::interference SKIPPED")  # this subject does not promise to notice damage
    assert session.lines(" GO ")
    assert report_of(project)["decision"] == "GO"


@pytest.mark.slow
def test_no_go_names_the_invariant_and_runs_once_for_all_workers(project):
    project.write("test_it.py", TESTS)
    session = project.pytest("--crashlab-gate", "--crashlab-subject=broken", "-n2", "--junitxml=junit.xml", "-rfs")
    assert session.code == 1
    assert session.lines("FAILED crashlab-gate::decision")
    assert session.lines("FAILED crashlab-gate::kill[")
    assert not session.lines("FAILED crashlab-gate::control")
    assert not session.lines("FAILED crashlab-gate::environment")
    assert "durability/acked-row-lost" in session.out
    assert " NO-GO " in session.out
    assert session.lines("crashlab replay ")
    assert project.runs() == ["gate-0001"]
    assert report_of(project)["decision"] == "NO-GO"
    assert 'name="crashlab_decision" value="NO-GO"' in (project.directory / "junit.xml").read_text()


def test_a_subject_that_does_not_load_fails_every_row_in_one_line(project):
    toml = project.directory / "crashlab.toml"
    toml.write_text(toml.read_text().replace("small_workload:Good", "small_workload:Goood"))
    session = project.pytest("--crashlab-gate", "-rf")
    assert session.code == 1
    assert f"{len(ROWS)} failed" in session.out
    assert "did you mean 'Good'?" in session.out
    assert "Traceback" not in session.out


def test_workers_that_wait_take_the_result_and_notice_when_its_owner_is_gone(tmp_path):
    settings = Settings(gate=True, shared=str(tmp_path))
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    (tmp_path / "gate.owner").write_text(str(done.pid))
    alone = run_or_wait(settings, Config(), "good", tmp_path)
    assert alone.report is None
    assert "the xdist worker that ran the gate died" in alone.error
    (tmp_path / "gate.json").write_text('{"error": "no such subject"}')
    assert run_or_wait(settings, Config(), "good", tmp_path) == GateResult(error="no such subject")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process group there")
@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_leaves_no_process_and_a_report_labelled_partial(project, environment, workers):
    toml = project.directory / "crashlab.toml"
    toml.write_text(toml.read_text().replace("trials = 60", "trials = 50000"))
    process = subprocess.Popen(
        project.command("--crashlab-gate", f"-n{workers}"),
        cwd=project.directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        records = project.directory / ".crashlab" / "runs" / "gate-0001" / "records.ndjson"
        deadline = time.monotonic() + 60
        while not (records.exists() and b"trial-finished" in records.read_bytes()):
            assert time.monotonic() < deadline, "no trial was run"
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, _ = process.communicate(timeout=40)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2, out
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive
    if not workers:
        assert report_of(project)["decision"] == "INCONCLUSIVE"
        assert any("partial" in reason or "interrupted" in reason for reason in report_of(project)["reasons"])
