"""`--crashlab-hazards` over somebody's test suite."""

import json

import pytest

SUITE = """
import sqlite3
import pytest

@pytest.fixture
def database(tmp_path):
    connection = sqlite3.connect(tmp_path / "app.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t(x)")
    yield connection, tmp_path / "app.db"
    connection.close()

def checksum(path):
    return hash(path.read_bytes())

def test_reads(database):
    checksum(database[1])

def test_well(database):
    with database[0] as connection:
        connection.execute("INSERT INTO t VALUES (1)")

def test_drops(database):
    database[0].execute("INSERT INTO t VALUES (1)")
"""


@pytest.fixture
def suite(project):
    project.write("test_suite.py", SUITE)
    return project


def test_warn_warns_at_the_line_for_the_test_and_tells_everything_once(suite):
    session = suite.pytest("--crashlab-hazards=warn", "-W", "error")
    assert session.code == 0, session.out
    assert "3 passed, 2 warnings" in session.out
    assert "test_suite.py::test_reads\n" in session.out
    assert "test_suite.py:14: CrashlabHazardWarning: stray-open: open('app.db', 'r') on the main file" in session.out
    summary = session.out.partition("crashlab hazards =")[2]
    assert (
        "2 hazards: stray-open, dropped-transaction" in summary or "2 hazards: dropped-transaction, stray-" in summary
    )
    assert "at        test_suite.py:14 in checksum" in summary
    assert "test      test_suite.py::test_drops" in summary
    assert summary.count("\n  why ") == 2
    assert "crashlab: hazards warn (--crashlab-hazards)" in session.out


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_error_fails_the_test_that_did_it_with_the_message(suite, workers):
    session = suite.pytest("--crashlab-hazards=error", workers)
    assert session.code == 1, session.out
    assert "1 failed, 2 passed, 1 error" in session.out  # test_drops passed, and its teardown failed
    assert "FAILED test_suite.py::test_reads - crashlab: 1 hazard: stray-open" in session.out
    assert "ERROR test_suite.py::test_drops - crashlab: 1 hazard: dropped-transaction" in session.out
    assert "instead   Call commit()" in session.out


def test_what_is_ignored_by_option_ini_or_comment_is_not_told(suite):
    suite.write("pytest.ini", "[pytest]\ncrashlab_hazards = error\ncrashlab_hazards_ignore = stray-open\n")
    silent = SUITE.replace("    connection.close()", "    connection.close()  # crashlab: ignore[dropped-transaction]")
    suite.write("test_suite.py", silent)
    assert suite.pytest().code == 0
    assert suite.pytest("--crashlab-hazards-ignore=dropped-transaction").code == 1
    assert suite.pytest("--crashlab-hazards-ignore=stray-open:*/app.db,dropped-transaction").code == 0


def test_a_connection_collected_later_is_told_of_its_own_test_and_fails_the_session(suite):
    suite.write(
        "test_suite.py",
        SUITE.partition("@pytest")[0]
        + "import gc\nkept = []\n"
        + "def test_leaves(tmp_path):\n    kept.append(sqlite3.connect(tmp_path / 'a.db'))\n"
        + "    kept[0].execute('CREATE TABLE t(x)')\n    kept[0].execute('INSERT INTO t VALUES (1)')\n"
        + "def test_collects():\n    kept.clear()\n    gc.collect()\n",
    )
    session = suite.pytest("--crashlab-hazards=error")
    assert session.code == 1, session.out
    assert "2 passed" in session.out
    assert "seen when their test was over" in session.out
    assert "test      test_suite.py::test_leaves" in session.out


def test_what_a_forked_child_does_is_told_by_its_parent(suite):
    pytest.importorskip("fcntl", reason="needs fork")
    suite.write(
        "test_suite.py",
        SUITE.partition("def test_reads")[0]
        + "import os\n"
        + "def test_forks(database):\n"
        + "    child = os.fork()\n"
        + "    if not child:\n"
        + "        database[0].execute('SELECT 1').fetchall()\n"
        + "        os._exit(0)\n"
        + "    os.waitpid(child, 0)\n",
    )
    session = suite.pytest("--crashlab-hazards=error")
    assert "FAILED test_suite.py::test_forks - crashlab: 1 hazard: used-after-fork" in session.out


def test_hazards_travel_on_reports_as_plain_text(suite):
    suite.write(
        "conftest.py",
        "def pytest_runtest_logreport(report):\n"
        "    for name, value in report.user_properties:\n"
        "        print('PROPERTY', name, value)\n",
    )
    session = suite.pytest("--crashlab-hazards=warn", "-s", "-k", "reads")
    name, _, value = session.lines("PROPERTY crashlab-hazard")[0].partition("PROPERTY ")[2].partition(" ")
    assert name == "crashlab-hazard"
    assert json.loads(value)["id"] == "stray-open"


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--crashlab-hazards=eror", "'eror', expected warn, error or off"),
        ("--crashlab-hazards-ignore=stray-opn", "did you mean 'stray-open'?"),
    ],
)
def test_a_bad_value_is_a_usage_error_in_one_line(suite, option, text):
    session = suite.pytest(option)
    assert session.code == 4
    (line,) = [line for line in session.err.splitlines() if line.strip()]
    assert text in line


def test_without_the_option_nothing_is_loaded_and_nothing_told(suite):
    suite.write(
        "conftest.py", "import sys\ndef pytest_sessionfinish():\n    print('crashlab.diagnosis' in sys.modules)\n"
    )
    session = suite.pytest("-s")
    assert session.code == 0
    assert "False" in session.out
    assert "hazard" not in session.out
