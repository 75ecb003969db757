"""Every command's help has examples, and they run as they stand, in a project that has what they name."""

import json
import os
import re
import shutil
import subprocess
import sys

import click
import pytest

from crashlab.cli.main import COMMANDS, cli
from crashlab.engine.casedir import CASE_FILE
from crashlab.engine.program.case import PROGRAM_CASE
from crashlab.sqlite.tap import tap_problem
from crashlab.writers.launcher import can_hang_up

EXAMPLE = re.compile(r"^\s*(?:Examples?: )?(?P<line>(?:\w+ \S*\$\()?crashlab .+)$", re.MULTILINE)
CASE = re.compile(r"\.crashlab/runs/(\w+)-0001/cases/\w+")
RUN = re.compile(r"\.crashlab/runs/(run-000\d)\b(?!/cases)")
NOT_RUN = {
    "crashlab repro all --runs 20 --format json": "minutes; docs/mechanisms.md has a recorded run of it",
    "crashlab planted --limit 60s": "a user's project has planted bugs only if it registers some",
    "crashlab planted --format json=planted.json": "the same",
}
NIGHTLY = {"gate", "bench"}
QUICK = {"init", "doctor", "completion", "autopsy"}
QUICK_TOO = {"crashlab repro --list"}
FINDS = {  # exit code 1, because the project is made so
    "crashlab run --subject app --param commit_every=10 --fault 'kill@ack#17' --trials 20",
    "crashlab replay .crashlab/runs/run-0001/cases/a8df4d04bd32",
    "crashlab replay .crashlab/runs/run-0001/cases/a8df4d04bd32 --times 100",
}
OWN = {"init", "doctor", "run", "gate", "cadence", "replay", "reduce", "repro", "hazards", "bench", "completion"}
APP = """
import sqlite3
import sys

db = sqlite3.connect("orders.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS orders(number INTEGER PRIMARY KEY, item TEXT)")
if "--check" not in sys.argv:
    for number in range(5):
        if "--early" in sys.argv:
            print("done", number)
        db.execute("INSERT OR REPLACE INTO orders VALUES(?, 'an item')", (number,))
        if "--early" not in sys.argv:
            print("done", number)
db.close()
if "--check" in sys.argv and "--broken" in sys.argv:
    sys.exit("the check fails")
"""
CRASHES = """
import os
import sqlite3

db = sqlite3.connect("state.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.execute("INSERT INTO t VALUES(1, 'one')")
os._exit(9)
"""

pytestmark = [
    pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="the examples are a POSIX shell's"),
    pytest.mark.timeout(300),
]


def examples(command):
    click_command = cli.get_command(click.Context(cli), command)
    text = click_command.get_help(click.Context(click_command, info_name=command, max_content_width=200))
    _, _, shown = text.rpartition("Example")
    return [match["line"].strip() for match in EXAMPLE.finditer(shown.partition(":")[2])] if shown else []


def in_bash(line, directory):
    return subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env={**os.environ, "PATH": f"{directory}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=850,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project as `crashlab init` leaves it, with the files and cases that the examples name."""
    directory = tmp_path_factory.mktemp("home")
    for name, start in (("crashlab", '-c "from crashlab.cli import main; main()"'), ("python", "")):
        program = directory / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n')
        program.chmod(0o755)
    assert in_bash("crashlab init", directory).returncode == 0
    (directory / "app.py").write_text(APP)
    made = subprocess.run([sys.executable, "-c", CRASHES], cwd=directory, timeout=60, check=False)
    assert made.returncode == 9
    (directory / "state.db-wal").rename(directory / "ghost.wal")
    row = {"table": "t", "key": {"id": 1}, "row": {"v": "one"}}
    (directory / "acked.ndjson").write_text(json.dumps(row) + "\n")
    return directory


@pytest.fixture(scope="module")
def cases(home):
    """Real cases for the paths that the examples name: of a real kill, a computed one, and one of a program."""
    moments = " ".join(f"--fault kill@op={op}" for op in range(16, 22))  # one is before the first commit is whole
    makers = {
        "run": ("crashlab run --results .run --param commit_every=10 --fault kill@ack#17 --trials 1", CASE_FILE),
        "gate": (f"crashlab run --results .gate --param commit_every=20 {moments}", CASE_FILE),
        "program": ("crashlab run --results .program --ack-on 'done (\\d+)' -- python app.py --early", PROGRAM_CASE),
    }
    for left in home.glob("orders.db*"):  # of an example that has run the program where it is
        left.unlink()
    found = {}
    for kind, (line, file) in makers.items():
        if kind == "run" or tap_problem() is None:
            done = in_bash(line, home)
            assert done.returncode == 1, done.stdout + done.stderr
            found[kind] = min((home / f".{kind}").rglob(file)).parent
    return found


@pytest.fixture(scope="module")
def recorded(home):
    """Two short runs that the examples name; no other example adds to them."""
    for _ in range(2):
        done = in_bash("crashlab run --results .recorded --fault kill@ack#3 --trials 5", home)
        assert done.returncode == 0, done.stdout + done.stderr
    return home / ".recorded" / "runs"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_of_its_command(command):
    lines = examples(command)
    assert lines, f"crashlab {command} --help has no example"
    assert all(f"crashlab {command}" in line for line in lines), lines


def of_lane(lane):
    lines = [line for command in COMMANDS for line in examples(command)]
    assert {*NOT_RUN, *QUICK_TOO, *FINDS} <= set(lines), "an example named here is shown no more"
    return [line for line in lines if line not in NOT_RUN and lane_of(line) == lane]


def lane_of(line):
    if command_of(line) in NIGHTLY:
        return "nightly"
    return "default" if command_of(line) in QUICK or line in QUICK_TOO else "slow"


def command_of(line):
    return line.removeprefix('eval "$(').split()[1]


def runs(line, home, request, tmp_path):
    if "hangup" in line and not can_hang_up():
        pytest.skip("no hang-ups here")
    directory, shown = home, line
    if line.startswith("crashlab init"):
        directory = tmp_path
        (tmp_path / "path" / "to" / "project").mkdir(parents=True)
        shutil.copy(home / "crashlab", tmp_path)
    named = CASE.search(line)
    if named is not None:
        cases = request.getfixturevalue("cases")
        if named[1] not in cases:
            pytest.skip("computed cases need the tap")
        line = line.replace(named[0], str(cases[named[1]]))
    if line.startswith("crashlab corpus keep"):  # a run with failing cases
        line = RUN.sub(str(request.getfixturevalue("cases")["run"].parents[1]), line)
    elif RUN.search(line) is not None:
        runs_of = request.getfixturevalue("recorded")
        line = RUN.sub(lambda match: str(runs_of / match[1]), line)
    elif line == "crashlab trend .crashlab":
        line = f"crashlab trend {request.getfixturevalue('recorded')}"
    done = in_bash(line, directory)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    if done.returncode == 3 and command_of(line) == "gate":  # a busy machine: too little evidence, and it says why
        assert "time budget was used up" in " ".join(said.split())
        return
    wanted = {1} if shown in FINDS else {0} if command_of(line) in OWN else {0, 1, 3}
    assert done.returncode in wanted, f"{line}\n{said}"


@pytest.mark.slow
@pytest.mark.parametrize("line", of_lane("default"))
def test_an_example_runs(line, home, request, tmp_path):
    runs(line, home, request, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("line", of_lane("slow"))
def test_a_long_example_runs(line, home, request, tmp_path):
    runs(line, home, request, tmp_path)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("line", of_lane("nightly"))
def test_an_example_of_minutes_runs(line, home, request, tmp_path):
    runs(line, home, request, tmp_path)
