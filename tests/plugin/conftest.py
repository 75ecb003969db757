"""Real pytest sessions on small projects, in processes of their own."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 100
TOML = """
[subjects.good]
workload = "small_workload:Good"
[subjects.broken]
workload = "small_workload:Broken"
[gate]
subject = "good"
trials = 60
budget = "40s"
acks_max = 20
[gate.grid]
checkpoint_every = [0, 5]
[gate.unreachable]
checkpoint = { checkpoint_every = 0 }
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


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what an outer pytest or xdist worker has put there."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "CRASHLAB", "COV_"))}
    return kept | more


@dataclass
class Session:
    code: int
    out: str
    err: str

    def lines(self, word: str) -> list[str]:
        return [line for line in self.out.splitlines() if word in line]


class Project:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copy(HERE / "small_workload.py", directory)
        self.write("crashlab.toml", TOML)
        self.write("pytest.ini", "[pytest]\n")

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def command(self, *args: str) -> list[str]:
        # Plugins that have no part in it only cost time.
        quiet = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "pytest_cov")]
        return [sys.executable, "-m", "pytest", *quiet, *args]

    def pytest(self, *args: str, **environment: str) -> Session:
        done = subprocess.run(
            self.command(*args),
            cwd=self.directory,
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return Session(done.returncode, done.stdout, done.stderr)

    def runs(self) -> list[str]:
        runs = self.directory / ".crashlab" / "runs"
        return sorted(entry.name for entry in runs.iterdir()) if runs.is_dir() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(directory)


@pytest.fixture
def environment():
    return clean_environment
