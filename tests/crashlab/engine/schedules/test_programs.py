"""Two processes of an unmodified program: whole runs, from their first line to their exit, in many orders."""

import os
import random
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from crashlab.engine.schedules.processes.programs import PROGRAMS, Programs, ProgramsWorkload, parse_programs
from crashlab.engine.schedules.processes.road import ProcessesRoad, process_turns
from crashlab.engine.schedules.replay import Segments
from crashlab.engine.schedules.strategies import parse_strategy
from crashlab.errors import UsageError
from crashlab.model.schedule import Actor, Script
from crashlab.writers.schedule.locks import patched_threading

COUNT = """
import sqlite3, sys

db = sqlite3.connect("app.db", isolation_level=None)
{begin}
if db.execute("SELECT count(*) FROM seat").fetchone()[0] < 1:
    db.execute("INSERT INTO seat VALUES(?)", (sys.argv[1],))
{end}
"""
SCRIPT = Script(PROGRAMS, 0, (Actor("a", (0,)), Actor("b", (0,))))


def source(directory, *, one_transaction):
    directory.mkdir()
    with closing(sqlite3.connect(directory / "app.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE seat(who TEXT)")
    begin, end = ('db.execute("BEGIN IMMEDIATE")', 'db.execute("COMMIT")') if one_transaction else ("", "")
    (directory / "app.py").write_text(COUNT.format(begin=begin, end=end))
    return directory


def explored(directory, schedules):
    commands = parse_programs(["python", "app.py", "A", ":::", "python", "app.py", "B"])
    workload = ProgramsWorkload(Programs(commands, str(directory), "app.db", serial=True))
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    turns = process_turns()
    with (
        tempfile.TemporaryDirectory(dir=memory) as root,
        patched_threading(turns),
        ProcessesRoad(workload, PROGRAMS, Path(root), turns=turns) as road,
    ):
        assert workload.measure(road.run) == ""
        for number in range(schedules):
            ran = road.run(SCRIPT, parse_strategy("bpr:2").decide(random.Random(number), 150, {}))
            assert (ran.problem, ran.refused) == ("", 0)
            if ran.findings:
                again = road.run(SCRIPT, Segments(ran.segments))
                assert (again.digest, again.findings) == (ran.digest, ran.findings)
                return ran
    return None


@pytest.mark.slow
def test_two_processes_of_a_program_that_counts_and_inserts_are_caught_and_its_twin_is_not(tmp_path):
    ran = explored(source(tmp_path / "broken", one_transaction=False), 30)
    assert ran is not None
    assert [finding.identity.invariant for finding in ran.findings] == ["serial"]
    assert "[('A',), ('B',)]" in ran.findings[0].message
    assert explored(source(tmp_path / "twin", one_transaction=True), 8) is None
    assert sorted(path.name for path in (tmp_path / "twin").iterdir()) == ["app.db", "app.py"]  # in a copy


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["python", "a.py"], "1 commands parted by :::"),
        (["python", "a.py", ":::", "ls", "-l"], "'ls -l': expected `python SCRIPT.py"),
        ([":::"], "0 commands"),
    ],
)
def test_other_commands_are_refused_by_name(words, says):
    with pytest.raises(UsageError, match=says):
        parse_programs(words)
