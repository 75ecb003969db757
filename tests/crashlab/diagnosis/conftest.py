"""Exhibits played with a look at the living processes after each step."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from crashlab.diagnosis.live.report import LiveReport
from crashlab.gallery.mechanisms import load_exhibits

SCRIPT = Path(__file__).with_name("play_and_look.py")


class Played:
    """A run. `main`: as it was left. `acked`: key -> value. `looks`: (step, report). `rescued`: copies, by role."""

    def __init__(self, directory, told):
        self.main = directory / "evidence" / "state.db"
        self.acked = told["acked"]
        self.looks = [(done, msgspec.convert(report, LiveReport)) for done, report in told["looks"]]

    def findings(self, step):
        """Kinds of what was wrong after a step."""
        return {
            finding.kind for each in self.looks[step][1].databases for finding in each.findings
            if finding.severity != "note"
        }  # fmt: skip

    @property
    def rescued(self):
        """The last copies that were made."""
        for _, report in reversed(self.looks):
            copies = {copy.role: Path(copy.to) for each in report.databases for copy in each.rescued}
            if copies:
                return copies
        return {}


@pytest.fixture(scope="session")
def played(tmp_path_factory):
    """`played(id, seed, control=False)`: an exhibit's run, played once, in a process of its own."""
    made = {}

    def play(name, seed, control=False):
        key = name, seed, control
        missing = load_exhibits()[name].missing_needs()
        if missing:
            pytest.skip(f"needs {', '.join(missing)}")
        if key not in made:
            directory = tmp_path_factory.mktemp("played")
            line = [sys.executable, str(SCRIPT), name, str(seed), "control" if control else "damage", str(directory)]
            done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            told = json.loads((directory / "told.json").read_text())
            assert told["result"] == "as expected"
            made[key] = Played(directory, told)
        return made[key]

    return play
