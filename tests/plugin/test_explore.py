"""`crashlab.explore` and the marker in pytest: findings as subtests, commands that can be pasted, xdist, Hypothesis."""

import re
import shlex

import pytest

from crashlab.sqlite.tap import tap_problem

pytestmark = pytest.mark.skipif(tap_problem() is not None, reason="computed crash states need the tap")
TESTS = """
import sqlite3

import pytest
from hypothesis import given, settings, strategies as st

def opened(db, synchronous="FULL"):
    con = sqlite3.connect(db, isolation_level=None)
    con.execute("PRAGMA journal_mode=WAL")
    con.execute("PRAGMA synchronous=" + synchronous)
    con.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    return con

def acked_rows(db, acked):
    assert set(acked) <= {row[0] for row in db.execute("SELECT id FROM t")}

def writer(db, ack, synchronous="FULL"):
    con = opened(db, synchronous)
    for number in range(4):
        con.execute("INSERT INTO t VALUES(?, 'x')", (number,))
        ack(number)
    con.close()

def test_good(crashlab):
    assert crashlab.explore(writer, checks=acked_rows, budget=100).passed

@pytest.mark.parametrize("synchronous", ["NORMAL"])
def test_bad(crashlab, synchronous):
    crashlab.explore(writer, checks=acked_rows, budget=100, arguments={"synchronous": synchronous})

class TestMarked:
    @pytest.mark.crashlab_writer(checks=acked_rows, budget=50)
    @pytest.mark.parametrize("many", [1, 2])
    async def test_rows(self, db, ack, many, tmp_path):
        assert tmp_path == db.parent
        con = opened(db)
        for number in range(many):
            con.execute("INSERT INTO t VALUES(?, 'x')", (number,))
            ack(number)
        con.close()

@settings(max_examples=2, deadline=None, derandomize=True, database=None)
@given(rows=st.integers(1, 3))
def test_given(crashlab, rows):
    def inner(db):
        con = opened(db, "NORMAL")
        for number in range(rows):
            con.execute("INSERT INTO t VALUES(?, 'x')", (number,))
            yield number
        con.close()
    crashlab.explore(inner, checks=acked_rows, budget=60)

@pytest.mark.crashlab_writer(budget=50)
def test_raises(path):
    opened(path)
    raise KeyError("its own mistake")

def test_nothing(crashlab):
    crashlab.explore(lambda db: None)

@pytest.mark.crashlab_writer(buget=50)
def test_misspelt(db):
    pass
"""


@pytest.fixture
def tests(project):
    project.write("test_it.py", TESTS)
    return project


def command_of(out: str, option: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if re.search(rf"pytest .*--crashlab-{option}", line)][:1]
    return shlex.split(line[line.index("pytest ") :])[1:]


@pytest.mark.slow
def test_a_finding_is_a_subtest_whose_commands_work_as_they_stand(tests):
    ran = tests.pytest("test_it.py", "-k", "bad or good", "-pno:hypothesispytest")
    assert ran.code == 1, ran.out
    assert "1 passed" in ran.out
    assert "SUBFAILED[check/acked_rows] (fault='power loss') test_it.py::test_bad[NORMAL]" in ran.out
    for word in (
        "invariant    check/acked_rows",
        "seen         ",
        "step         before #",
        "which takes",
        "files ",
    ):
        assert word in ran.out, ran.out
    replayed = tests.pytest(*command_of(ran.out, "replay"))
    assert replayed.code == 1, replayed.out
    assert "check/acked_rows" in replayed.out
    reduced = tests.pytest(*command_of(ran.out, "reduce"))
    assert reduced.code == 1, reduced.out
    assert "check/acked_rows" in reduced.out
    assert tests.runs() == ["explore-0001"]


@pytest.mark.slow
def test_a_test_may_be_the_writer_itself(tests):
    ran = tests.pytest("test_it.py", "-v", "-k", "rows or raises or nothing or misspelt")
    assert "test_rows[1] PASSED" in ran.out, ran.out
    assert "test_rows[2] PASSED" in ran.out
    assert "KeyError: 'its own mistake'" in ran.out
    assert "in test_raises" in ran.out
    assert "MISSED (kill, power): the writer committed nothing" in ran.out
    assert "did you mean 'budget'" in ran.out
    assert "3 failed, 2 passed" in ran.out


@pytest.mark.slow
def test_under_xdist_and_hypothesis(tests):
    ran = tests.pytest("test_it.py", "-n", "2", "-k", "bad or good or rows or given")
    assert ran.code == 1, ran.out
    assert "3 passed" in ran.out
    assert "SUBFAILED[check/acked_rows]" in ran.out
    assert re.search(r"FAILED test_it.py::test_given - .*ExploreFailedError", ran.out), ran.out
    assert "Flaky" not in ran.out
    assert tests.runs()
