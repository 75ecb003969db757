"""Rows about where a gate runs, and about a database that some other program made."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from crashlab.decide import surroundings
from crashlab.decide.config import Policy
from crashlab.decide.evidence import RowResult
from crashlab.decide.policy import Decision, decide
from crashlab.decide.surroundings import environment_rows, preflight_row
from crashlab.errors import UsageError
from crashlab.sqlite.advisories import ADVISORIES
from crashlab.sqlite.filesystem import FileSystem

WAL = {"journal_mode": "wal", "synchronous": "NORMAL"}
ANOTHER_PROGRAM = """
import sqlite3, sys, os
c = sqlite3.connect(sys.argv[1], isolation_level=None)
{pragmas}
c.execute("create table file(id integer primary key, path text unique)")
c.execute("create table line(file references file(id), bits blob, unique(file, bits))")
c.execute("begin")
c.executemany("insert into file values(?, ?)", [(n, f"a/{{n}}.py") for n in range(200)])
c.executemany("insert into line values(?, ?)", [(n, os.urandom(300)) for n in range(200)])
{end}
"""


def made_by_another_program(path, *, pragmas="", end='c.execute("commit"); c.close()'):
    """A database as coverage.py leaves its `.coverage`: other people's schema, made in another process."""
    code = ANOTHER_PROGRAM.format(pragmas=pragmas, end=end)
    subprocess.run([sys.executable, "-c", code, path], check=False, timeout=60)
    return path


def bytes_of(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def decision_with(row):
    return decide((row,), {}, 5000, Policy())[0]


# --- preflight


def test_a_coverage_file(tmp_path):
    path = made_by_another_program(tmp_path / ".coverage")
    before = bytes_of(tmp_path)
    row = preflight_row(path)
    assert (row.group, row.name, row.result, row.judged) == ("preflight", "database .coverage", RowResult.OK, 1)
    assert "checked by backup in another process; the files are as they were" in row.detail
    assert bytes_of(tmp_path) == before
    assert decision_with(row) is Decision.GO


def test_a_live_database(tmp_path):
    """Another process has it open in WAL mode, in the middle of a transaction."""
    path = tmp_path / "live.db"
    code = ANOTHER_PROGRAM.format(
        pragmas='c.execute("pragma journal_mode=wal")',
        end='c.execute("commit"); c.execute("begin immediate"); c.execute("delete from file");\n'
        'print("ready", flush=True); sys.stdin.read()',
    )
    writer = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline().split() == [b"ready"]
        row = preflight_row(path)
        assert row.result is RowResult.OK, row
        assert "-wal: " in row.detail
        # It still has its locks: nobody else can write.
        with (
            closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("begin immediate")
    finally:
        writer.communicate(timeout=30)


def test_a_crashed_triplet_stays_as_it_is(tmp_path):
    path = made_by_another_program(
        tmp_path / "crashed.db",
        pragmas='c.execute("pragma journal_mode=wal")',
        end='c.execute("commit"); os._exit(9)',
    )
    before = bytes_of(tmp_path)
    assert before["crashed.db-wal"]
    row = preflight_row(path)
    assert row.result is RowResult.OK
    assert "committed and 0 uncommitted frames" in row.detail
    after = bytes_of(tmp_path)
    assert (after["crashed.db"], after["crashed.db-wal"]) == (before["crashed.db"], before["crashed.db-wal"])
    assert set(after) == set(before)


def test_a_wal_without_its_index_stays_as_it_is(tmp_path):
    path = made_by_another_program(
        tmp_path / "made.db", pragmas='c.execute("pragma journal_mode=wal")', end='c.execute("commit"); os._exit(9)'
    )
    copy = tmp_path / "copied"
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", copy)
    before = bytes_of(copy)
    assert preflight_row(copy / "made.db").result is RowResult.OK
    assert bytes_of(copy) == before


def test_a_hot_journal_is_reported_and_proves_nothing(tmp_path):
    path = made_by_another_program(
        tmp_path / "b.db",
        pragmas='c.execute("pragma cache_size=2")',
        end='c.execute("commit"); c.execute("begin"); c.execute("update line set bits = randomblob(300)"); os._exit(9)',
    )
    before = bytes_of(tmp_path)
    assert before["b.db-journal"]
    row = preflight_row(path)
    assert row.result is RowResult.INCONCLUSIVE
    assert row.judged == 0
    assert "hot journal, not rolled back and not opened: b.db-journal" in row.detail
    assert bytes_of(tmp_path) == before
    assert decision_with(row) is Decision.INCONCLUSIVE


def test_a_damaged_database_is_a_no_go_that_names_the_check(tmp_path):
    path = made_by_another_program(tmp_path / "damaged.db")
    data = bytearray(path.read_bytes())
    for page in range(4, len(data) // 4096 - 1):
        data[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    path.write_bytes(data)
    row = preflight_row(path)
    assert row.result is RowResult.FAIL
    assert "preflight/integrity_check" in row.invariants
    assert row.failures == 1
    assert decision_with(row) is Decision.NO_GO


def test_orphans_are_found(tmp_path):
    path = made_by_another_program(tmp_path / "orphans.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("delete from file where id < 3")
    row = preflight_row(path)
    assert row.result is RowResult.FAIL
    assert row.invariants == ("preflight/foreign_key_check",)


def test_no_database(tmp_path):
    with pytest.raises(UsageError, match="is not there"):
        preflight_row(tmp_path / "nowhere")


# --- environment


def rows_by_name(rows):
    return {row.name.split()[0]: row for row in rows}


@pytest.mark.parametrize(("policy", "result", "decision"), [("warn", "warn", "GO"), ("no-go", "FAIL", "NO-GO")])
def test_advisories_count_as_the_policy_says(monkeypatch, tmp_path, policy, result, decision):
    bug = next(advisory for advisory in ADVISORIES if advisory.name == "wal-reset")
    monkeypatch.setattr(surroundings, "advisories_for", lambda _library: (bug,))
    rows = environment_rows(tmp_path, WAL, Policy(advisories=policy))
    row = rows_by_name(rows)["advisory"]
    assert (row.name, row.result) == ("advisory wal-reset", result)
    assert "is in the affected range of the WAL-reset bug" in row.detail
    assert row.invariants == ("advisory/wal-reset",)
    decided, reasons = decide(tuple(rows), {}, 5000, Policy(advisories=policy))
    assert decided.value == decision
    assert policy == "warn" or any(reason.startswith("advisory/wal-reset") for reason in reasons)


def test_a_sound_library_has_no_such_row(monkeypatch, tmp_path):
    monkeypatch.setattr(surroundings, "advisories_for", lambda _library: ())
    rows = rows_by_name(environment_rows(tmp_path, WAL, Policy(advisories="no-go")))
    assert "advisory" not in rows
    assert rows["SQLite"].name == f"SQLite {sqlite3.sqlite_version}"
    assert rows["effective"].result is RowResult.OK
    assert rows["effective"].detail == "journal_mode=wal, synchronous=NORMAL"


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"journal_mode": "delete"}, "journal_mode=delete"), ({}, "opened no connection through the connect()")],
)
def test_other_settings_are_a_warning(tmp_path, settings, said):
    row = rows_by_name(environment_rows(tmp_path, settings, Policy()))["effective"]
    assert row.result is RowResult.WARN
    assert said in row.detail


@pytest.mark.parametrize(("policy", "result"), [("warn", RowResult.WARN), ("no-go", RowResult.FAIL)])
def test_a_file_system_without_sound_locks(monkeypatch, tmp_path, policy, result):
    network = FileSystem("nfs4", "/mnt", "server:/export")
    monkeypatch.setattr(surroundings, "filesystem_of", lambda _directory: network)
    row = rows_by_name(environment_rows(tmp_path, WAL, Policy(file_system=policy)))["file"]
    assert (row.name, row.result) == ("file system nfs4", result)
    assert "locks can't be relied on there" in row.detail
    assert row.invariants == ("environment/file-system",)


def test_memory_is_where_trials_belong(monkeypatch, tmp_path):
    monkeypatch.setattr(surroundings, "filesystem_of", lambda _directory: FileSystem("tmpfs", "/dev/shm", "tmpfs"))
    row = rows_by_name(environment_rows(tmp_path, WAL, Policy(file_system="no-go")))["file"]
    assert (row.result, row.invariants) == (RowResult.OK, ())
