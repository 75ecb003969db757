"""A project of a user's: a small application, its crashlab.toml, and `crashlab` run on it for real."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from crashlab.cli import main

APP = Path(__file__).with_name("small_app.py")
SUBJECTS = {
    "good": "Good",
    "early": "AcksTooEarly",
    "raises": "Raises",
    "refuses": "RefusesToOpen",
    "hangs": "Hangs",
    "slow": "Slow",
    "noisy": "Noisy",
    "stuck": "HangsAtRestart",
    "nothing": "NoWorkload",
    "typo": "Godo",
}
TOML = """
[subjects]
{subjects}
lost = {{ workload = "small_ap:Good" }}
broken = {{ workload = "broken_app:workload" }}

[gate]
subject = "good"
trials = 60
budget = "90s"
acks_max = 12

[gate.grid]
every = [3, 5]

[gate.trace]
steps_max = 8
io_steps = 2
power_states = 400
kill_states = 400
direct_max = 20
recovery = 1

[gate.policy]
phase_hits_min = 1
trials_min = 10
"""


class Project:
    def __init__(self, directory):
        self.directory = directory
        self.config = directory / "crashlab.toml"
        shutil.copy(APP, directory)
        (directory / "broken_app.py").write_text("import a_module_that_nobody_has\n")
        subjects = "\n".join(f'{name} = {{ workload = "small_app:{cls}" }}' for name, cls in SUBJECTS.items())
        self.config.write_text(TOML.format(subjects=subjects))

    def write(self, text):
        self.config.write_text(text)

    def replace(self, old, new):
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    @property
    def results(self):
        return self.directory / ".crashlab"

    def runs(self):
        return sorted((self.results / "runs").glob("*")) if self.results.exists() else []

    def popen(self, *args, **more):
        return subprocess.Popen(
            [sys.executable, "-c", "from crashlab.cli import main; main()", *map(str, args)],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more},
        )


@pytest.fixture
def project(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(directory)


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


@pytest.fixture
def crashlab(project, monkeypatch, capsys):
    """The command line in this process, in the project's directory."""
    monkeypatch.chdir(project.directory)

    def run(*args):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        said = capsys.readouterr()
        return Answer(stop.value.code, said.out, said.err)

    return run


@pytest.fixture
def refused(crashlab, project):
    """Run something wrong: one line, exit 2, no traceback, nothing left behind; returns the line."""

    def run(*args):
        before = set(project.directory.rglob("*"))
        answer = crashlab(*args)
        assert answer.code == 2, answer
        assert answer.out == ""
        lines = answer.err.splitlines()
        assert len(lines) == 1, answer.err
        assert lines[0].startswith("crashlab: ")
        assert "Traceback" not in answer.err
        assert {path for path in project.directory.rglob("*") if "__pycache__" not in str(path)} <= before
        return lines[0]

    return run


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path, monkeypatch):
    """Every test here must leave no temporary file and no process of its own."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))
    yield
    assert list(scratch.iterdir()) == []
    _gone, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=5)
    assert alive == []
