"""`crashlab hazards -- python app.py`."""

import json
import os
import subprocess
import sys

import pytest

APP = """
import sqlite3, sys, os
connection = sqlite3.connect("app.db")
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("CREATE TABLE IF NOT EXISTS t(x)")
if "reads" in sys.argv:
    open("app.db", "rb").close()
if "leaves" in sys.argv:
    connection.execute("INSERT INTO t VALUES (1)")
if "child" in sys.argv:
    os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, "reads"])
print("out", *sys.argv[1:])
sys.exit(5 if "five" in sys.argv else 0)
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "app.py").write_text(APP)

    def hazards(*arguments: str, command: tuple[str, ...] = (sys.executable, "app.py")) -> subprocess.CompletedProcess:
        options, _, words = " ".join(arguments).partition("--- ")
        line = [sys.executable, "-c", "from crashlab.cli import main; main()", "hazards", *options.split(), "--"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
        return subprocess.run(
            [*line, *command, *words.split()], cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=100
        )

    return hazards


def test_the_program_runs_as_it_is_and_the_report_is_on_standard_error(run):
    done = run("--- reads leaves five --error")  # the last one is the program's own
    assert (done.returncode, done.stdout) == (5, "out reads leaves five --error\n")
    head, _, rest = done.stderr.partition("\n")
    assert head == "crashlab: 2 hazards: stray-open, dropped-transaction (1 Python process watched, exit code 5)"
    assert "  at        app.py:7 in <module>\n" in rest
    assert "the program ended and left the connection with a write transaction open" in rest


def test_error_changes_the_exit_code_only_when_there_is_a_hazard(run):
    assert run("--error --- reads").returncode == 1
    assert run("--error --ignore stray-open --- reads").returncode == 0
    done = run("--error --- five")
    assert done.returncode == 5
    assert done.stderr == "crashlab: no hazards (1 Python process watched, exit code 5)\n"


def test_python_processes_that_it_starts_are_watched_too(run):
    done = run("--format ndjson --- child")
    program, told = done.stdout.splitlines()[0], json.loads(done.stdout.splitlines()[-1])
    assert program == "out reads"
    assert told["id"] == "stray-open"
    assert "(2 Python processes watched, exit code 0)" in done.stderr


def test_json_has_everything(run, tmp_path):
    done = run("--format json=report.json --- reads five")
    assert done.stdout == "out reads five\n"
    report = json.loads((tmp_path / "report.json").read_text())
    assert [hazard["id"] for hazard in report["hazards"]] == ["stray-open"]
    assert (report["exit_code"], report["processes"], report["gaps"], report["problems"]) == (5, 1, [], [])


def test_a_program_that_cannot_be_watched_gives_no_answer(run):
    done = run(command=(sys.executable, "-I", "-c", "pass"))
    assert done.returncode == 3
    assert "no Python was watched" in done.stderr


@pytest.mark.parametrize(
    ("options", "command", "text"),
    [
        ("", (), "no program named"),
        ("", ("no-such-program",), "'no-such-program' cannot be started"),
        ("--ignore stray-opn", (sys.executable, "-c", "pass"), "did you mean 'stray-open'?"),
    ],
)
def test_bad_input_exits_with_2_in_one_line(run, options, command, text):
    done = run(options, command=command)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_sitecustomize_of_the_project_still_runs(run, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("print('mine')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run().stdout == "mine\nmine\nout\n"  # crashlab's own Python, and the program's
