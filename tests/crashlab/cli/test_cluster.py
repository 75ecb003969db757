"""`crashlab run --executor`: the same campaign in spawned processes, and on a real dask cluster that loses a worker."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import crashlab as package
from crashlab.engine.results.read import Records
from crashlab.engine.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")
FAULTS = ("--subject", "early", "--fault", "states@kill#300", "--fault", "states@torn#300")


def told(run):
    """Each trial's answer, but for where its case directory lies: once each."""
    found = {}
    for outcome in Records(run).outcomes():
        assert outcome.trial_id not in found
        findings = sorted((str(f.identity), f.message, str(f.evidence.get("state"))) for f in outcome.findings)
        found[outcome.trial_id] = outcome.case, outcome.verdict, outcome.states, outcome.acked, findings
    return found


def finish(process, code=1):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out, err


def reference(project, trials):
    finish(project.popen("run", *FAULTS, "--trials", trials, "--results", "one"))
    return told(project.directory / "one" / "runs" / "run-0001")


def test_processes_give_the_same_answers_and_the_cases_come_back(project):
    finish(project.popen("run", *FAULTS, "--trials", 6, "--executor", "processes=2"))
    (run,) = project.runs()
    assert told(run) == reference(project, 6)
    kept = [Path(outcome.case_dir) for outcome in Records(run).outcomes() if outcome.case_dir]
    assert kept
    assert all(case.parent == run / "cases" and (case / "case.json").exists() for case in kept)
    finish(project.popen("replay", kept[0]))


class Cluster:
    """A scheduler and workers of one thread each, all processes of their own."""

    def __init__(self, directory):
        self.directory = directory
        self.file = directory / "scheduler.json"
        self.processes = []
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.file)
        self.address = re.search(r'"address": "(tcp://[^"]+)"', self._wait())[1]

    def worker(self, **env):
        more = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--local-directory", self.directory)
        return self._start("worker", self.address, *more, **env)

    def _start(self, *words, **env):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *map(str, words), "--no-dashboard"],
            cwd=self.directory,
            env={**os.environ, "TMPDIR": str(self.directory), **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def _wait(self):
        deadline = time.monotonic() + 60
        while not self.file.exists() or not self.file.stat().st_size:
            assert time.monotonic() < deadline
            assert self.processes[0].poll() is None
            time.sleep(0.05)
        return self.file.read_text()

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def cluster(tmp_path):
    directory = tmp_path / "cluster"
    directory.mkdir()
    cluster = Cluster(directory)
    yield cluster
    cluster.close()
    Workspace().close()  # as the next lab on a machine does: what a killed worker had in memory goes


@needs_dask
def test_a_cluster_that_loses_a_worker_gives_the_same_answers(project, cluster):
    first = cluster.worker()
    second = cluster.worker()
    run = project.directory / "many" / "runs" / "run-0001"
    executor = f"dask={cluster.address}"
    process = project.popen("run", *FAULTS, "--trials", 16, "--results", "many", "--executor", executor, "--slots", 2)
    deadline = time.monotonic() + 300
    while not (run / "records.ndjson").exists() or sum(1 for _ in Records(run).outcomes()) < 4:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    first.kill()
    assert sum(1 for _ in Records(run).outcomes()) < 16
    finish(process)
    assert second.poll() is None
    assert told(run) == reference(project, 16)


@needs_dask
def test_a_worker_of_another_crashlab_is_refused_by_name(project, cluster, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(Path(package.__file__).parent, other / "crashlab", ignore=shutil.ignore_patterns("__pycache__"))
    with open(other / "crashlab" / "engine" / "road.py", "a") as file:
        file.write("# of another day\n")
    cluster.worker(PYTHONPATH=str(other))
    process = project.popen("run", *FAULTS, "--trials", 2, "--executor", f"dask={cluster.address}")
    _, err = finish(process, 2)
    assert re.search(r"worker tcp://127\.0\.0\.1:\d+ has other versions: crashlab \S+, the lab has", err)
    assert project.runs() == []
