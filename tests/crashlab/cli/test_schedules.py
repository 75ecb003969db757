"""`crashlab schedules`, and `replay` and `reduce` of its cases, as a user has them."""

import json
import subprocess
import sys

import pytest

APP = """
from crashlab.model.contract import Contract
from crashlab.model.step import Lane, Step
from crashlab.model.workload import Check


class Open:
    def __init__(self, held):
        self.held = held

    def close(self):
        for connection in self.held:
            connection.close()


class Counter:
    contract, tables, params = Contract(), (), {"whole": False}
    checks = (Check("adds-up", lambda o, c, history: _missing(c, history)),)

    def open(self, ctx):
        held = [ctx.connect(ctx.database, isolation_level=None, check_same_thread=False) for _ in range(2)]
        held[0].execute("PRAGMA journal_mode=WAL")
        held[0].execute("CREATE TABLE IF NOT EXISTS sum(n INTEGER)")
        held[0].execute("INSERT INTO sum SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM sum)")
        return Open(held)

    restart = open

    def lanes(self, ctx):
        return Lane("left"), Lane("right")

    def steps(self, lane, instance, ctx):
        connection = instance.held[lane.name == "right"]
        for number in range(3):
            yield Step(number, (), lambda: self.add(connection, ctx.params["whole"]))

    def add(self, connection, whole):
        if whole:
            connection.execute("UPDATE sum SET n = n + 1")
            return
        (before,) = connection.execute("SELECT n FROM sum").fetchone()
        connection.execute("UPDATE sum SET n = ?", (before + 1,))


def _missing(connection, history):
    (found,) = connection.execute("SELECT n FROM sum").fetchone()
    if found != len(history.acked):
        yield f"{len(history.acked)} were added, the sum is {found}"


workload = Counter()
"""


@pytest.fixture
def crashlab(tmp_path):
    (tmp_path / "counting.py").write_text(APP)
    (tmp_path / "crashlab.toml").write_text('[subjects.counter]\nworkload = "counting:workload"\n')

    def run(*arguments):
        line = [sys.executable, "-c", "from crashlab.cli import main; main()", *arguments]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=170, check=False)

    return run


@pytest.mark.slow
def test_a_lost_update_is_found_told_kept_replayed_and_reduced(crashlab, tmp_path):
    done = crashlab("schedules", "counter", "--trials", "200", "--budget", "100s")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL books/adds-up" in done.stdout
    assert "reproduced 50/50, call for call 50/50" in done.stdout
    assert ">> stopped before:" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("FAIL: 1 different finding; no fault: interleavings only")
    (case,) = (tmp_path / ".crashlab" / "runs" / "schedules-0001" / "cases").iterdir()
    again = crashlab("replay", str(case), "--times", "5")
    assert again.returncode == 1, again.stdout + again.stderr
    assert "reproduced 5/5, call for call 5/5" in again.stdout
    reduced = crashlab("reduce", str(case))
    assert reduced.returncode == 0, reduced.stdout + reduced.stderr
    assert "it is minimal already" in reduced.stdout


def test_the_twin_passes_with_its_numbers(crashlab):
    done = crashlab("schedules", "counter", "--param", "whole=true", "--trials", "60", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["verdict"], result["counted"]["judged"]) == ("PASS", 60)
    assert result["faults"] == "no fault: interleavings only"
    assert "PASS: failing schedules 0/60, 95 % upper bound" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["countr"], "did you mean 'counter'"),
        (["counter", "--strategy", "pctt"], "did you mean 'pct'"),
        (["counter", "--strategy", "exhaustive"], "of the generic workload"),
        (["--sqlite", "apsw=nowhere"], "no apsw in it"),
        (["--sqlite", "postgres"], "expected sqlite3, or apsw=DIR"),
        (["--param", "mix=XYZ", "--trials", "1"], "expected letters of IRCO"),
        (["--budget", "states=10"], "no crash states"),
    ],
)
def test_bad_input_is_one_line(crashlab, arguments, says):
    done = crashlab("schedules", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
