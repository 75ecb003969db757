"""`crashlab autopsy` from outside: ledgers, backups, files elsewhere, refusals, exit codes."""

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from subprocess import run

import pytest

from crashlab.diagnosis.autopsy import Verdict, autopsy
from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.signs import abnormal, with_checks
from crashlab.errors import LimitError, UsageError
from crashlab.sqlite.files import Triplet


@pytest.fixture
def database(tmp_path):
    """A closed database of ten rows."""
    path = tmp_path / "app.db"
    connection = sqlite3.connect(path)
    connection.execute("pragma journal_mode=wal")
    connection.execute("create table t(id integer primary key, v text)")
    connection.executemany("insert into t values (?, ?)", [(key, f"v{key}") for key in range(10)])
    connection.commit()
    connection.close()
    return path


def entries(path, rows):
    lines = [json.dumps({"table": "t", "key": {"id": key}, "row": value and {"v": value}}) for key, value in rows]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("rows", "lost", "changed", "there", "gone"),
    [
        ([(key, f"v{key}") for key in range(14)], "suffix", "none", {"d1", "a1-kill"}, {"none", "b1-lost", "e6"}),
        ([(9, "v9"), (77, "v"), (8, "v8")], "gap", "none", {"b1-lost", "c1"}, {"none", "d1", "e6"}),
        ([(3, "other"), (4, "v4")], "none", "some", {"e6"}, {"none", "d1", "b1-lost"}),
    ],
)
def test_a_ledger_tells_between_mechanisms_that_leave_the_same_files(
    database, tmp_path, rows, lost, changed, there, gone
):
    report = autopsy(database, ledger=entries(tmp_path / "acked", rows))
    assert (report.signs.get("rows.lost", "none"), report.signs.get("rows.changed", "none")) == (lost, changed)
    first = {named.id for named in report.first}
    assert there <= first
    assert not gone & first
    assert report.verdict is Verdict.LOSSY


def test_a_ledger_that_holds_is_healthy(database, tmp_path):
    ledger = entries(tmp_path / "acked", [*((key, f"v{key}") for key in range(10)), (50, "x"), (50, None)])
    report = autopsy(database, ledger=ledger)
    assert report.exit_code == 0
    assert (report.ledger.acked, report.ledger.lost, report.ledger.changed) == (11, 0, 0)


def test_a_backup_with_more_rows_is_no_health(database, tmp_path):
    shutil.copy(database, tmp_path / "old.db")
    with sqlite3.connect(database) as connection:
        connection.execute("delete from t where id > 6")
    connection.close()
    report = autopsy(database, backup=tmp_path / "old.db")
    assert report.backup.missing == {"t": 3}
    assert report.verdict is Verdict.CANNOT_TELL
    first = {named.id for named in report.first}
    assert {"changed", "d1", "b1-lost"} <= first  # what takes rows from the middle may seem to take the last ones
    assert not {"none", "e6", "a4-notadb"} & first
    assert report.confidence == "possible"


def test_a_backup_that_holds_is_healthy_and_rules_a_flipped_bit_out(database, tmp_path):
    shutil.copy(database, tmp_path / "old.db")
    with sqlite3.connect(database) as connection:
        connection.execute("update t set v = 'new' where id = 4")
    connection.close()
    report = autopsy(database, backup=tmp_path / "old.db")
    assert (report.verdict, report.backup.missing, report.backup.changed) == (Verdict.HEALTHY, {}, {"t": 1})
    assert "e6" not in {named.id for named in report.first}


def test_a_backup_shows_a_flipped_bit(database, tmp_path):
    shutil.copy(database, tmp_path / "old.db")
    data = bytearray(database.read_bytes())
    data[data.index(b"v7") + 1] ^= 4
    database.write_bytes(data)
    report = autopsy(database, backup=tmp_path / "old.db")
    assert report.backup.one_bit == (2,)
    assert "e6" in {named.id for named in report.first}


@pytest.mark.parametrize(
    ("name", "lost", "gone"),
    [
        ("a1-split", "gap", {"none", "d1", "h1", "e6"}),
        ("d1", "suffix", {"none", "a1-split", "b1-lost", "e6"}),
        ("b1-lost", "gap", {"none", "d1", "e3", "e6"}),
        ("e6", "none", {"none", "d1", "a1-split"}),
    ],
)
def test_the_ledger_of_an_exhibit_splits_the_set_that_its_files_leave(left_by, name, lost, gone):
    path, _ = left_by(name, 11)
    report = autopsy(path, ledger=path.with_name("ledger.ndjson"))
    first = {named.id for named in report.first}
    assert report.ledger.order == lost
    assert name in first
    assert not gone & first


def test_a_backup_splits_the_set_of_a_restore_undone(left_by):
    path, _ = left_by("d2-revert", 11)
    report = autopsy(path, backup=path.parent / "backup" / path.name)
    assert {"changed", "d2-revert"} < {named.id for named in report.first}
    assert len(report.first) < 10
    assert report.backup.missing == {"t": 45}


def test_rows_that_cannot_be_read_are_not_lost(left_by):
    path, _ = left_by("a8-malformed", 11)
    report = autopsy(path, ledger=path.with_name("ledger.ndjson"))
    assert report.ledger.problem
    assert "rows.lost" not in report.signs
    assert {named.id for named in report.first} == {"a8-malformed", "c2-malformed"}


def test_side_files_may_lie_elsewhere_and_nothing_is_left_behind(left_by, tmp_path):
    path, _ = left_by("e5", 11)
    sides = {}
    for role in ("wal", "shm"):
        sides[role] = tmp_path / f"rescued.{role}"
        shutil.copy(f"{path}-{role}", sides[role])
    main = tmp_path / "alone.db"
    shutil.copy(path, main)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert [named.id for named in autopsy(main, sides=sides, scratch=scratch).first] == ["e5"]
    assert not list(scratch.iterdir())
    assert autopsy(main).exit_code == 0


def test_an_ok_of_sqlite_is_not_the_last_word(database):
    """SQLite 3.40.1 says ok of a zeroed freelist trunk where the schema has a view."""
    with sqlite3.connect(database) as connection:
        connection.execute("create view seen as select * from t")
        connection.execute("create table u(a)")
        connection.executemany("insert into u values (?)", [("x" * 900,)] * 100)
        connection.commit()
        connection.execute("drop table u")
    connection.close()
    data = bytearray(database.read_bytes())
    trunk = int.from_bytes(data[32:36])
    data[(trunk - 1) * 4096 : trunk * 4096] = bytes(4096)
    database.write_bytes(data)
    report = autopsy(database)
    assert (report.verdict, report.facts.whole.scope) == (Verdict.DAMAGED, "space only")
    assert report.confidence == "possible"


def test_what_is_no_database_is_not_judged(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database\n" * 100)
    assert autopsy(path).verdict is Verdict.CANNOT_TELL
    path.write_bytes(b"")
    assert autopsy(path).verdict is Verdict.CANNOT_TELL


def test_a_kill_in_the_first_transaction_ever_is_healthy(tmp_path):
    """SQLite counts no record in a journal of no page, and truncates the file to nothing all the same."""
    path, journal = tmp_path / "a.db", tmp_path / "a.db-journal"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("pragma cache_size=2", "begin", "create table t(a)"):
            connection.execute(statement)
        connection.executemany("insert into t values (zeroblob(?))", [(900,)] * 60)
        undo = journal.read_bytes()
        connection.execute("commit")
    data = path.read_bytes()
    for size in (1119, len(data)):
        path.write_bytes(data[:size])
        journal.write_bytes(undo)
        report = autopsy(path)
        assert (report.verdict, report.first[0].id) == (Verdict.HEALTHY, "none"), report.why
        assert "first transaction" in report.why[0]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
    path.write_bytes(data[:27] + b"\x09" + data[28:])  # the change counter of an old database
    journal.write_bytes(undo)
    assert autopsy(path).verdict is Verdict.DAMAGED


def test_a_kill_while_the_first_opener_makes_the_wal_index_is_healthy(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table t(x)")
        for size, first in ((0, {"none", "f3"}), (3, {"none", "f3"}), (5, {"f3"})):
            copy = tmp_path / f"{size}.db"
            copy.write_bytes(path.read_bytes())
            Path(f"{copy}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
            Path(f"{copy}-shm").write_bytes(bytes(size))
            ranking = rank(with_checks(examine(Triplet.of(copy)).features, {}))
            assert {named.id for named in ranking.first} == first, size


def test_a_kill_within_the_checkpoint_s_write_of_page_1_is_healthy(tmp_path):
    """The page then begins with a later change counter than the WAL's first image, and ends as it was."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")
        for name in "abc":  # each writes page 1
            connection.execute(f"create table {name}(x)")
        log, before = (tmp_path / "a.db-wal").read_bytes(), path.read_bytes()
        connection.execute("pragma wal_checkpoint")
        after = path.read_bytes()
    torn = tmp_path / "torn.db"
    (tmp_path / "torn.db-wal").write_bytes(log)
    for at in (20, 28, 90, 100, 2789, 4096):
        torn.write_bytes(after[:at] + before[at:4096] + before[4096:])
        facts = examine(Triplet.of(torn))
        assert (facts.features["wal.base"], abnormal(facts.features)) == ("fits", {}), at
    for stale in (b"\0\0\0\x09", b"\0\0\x01\0"):  # a main file that is newer than the whole WAL
        torn.write_bytes(after[:24] + stale + after[28:])
        assert examine(Triplet.of(torn)).features["wal.base"] == "older"


def test_refusals(database, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        autopsy(tmp_path / "none.db")
    with pytest.raises(UsageError, match="no regular file"):
        autopsy(tmp_path)
    with pytest.raises(UsageError, match=r"--wal .* does not exist"):
        autopsy(database, sides={"wal": tmp_path / "none"})
    (tmp_path / "bad").write_text('{"table": "t"}\n')
    with pytest.raises(UsageError, match="line 1: no entry; expected"):
        autopsy(database, ledger=tmp_path / "bad")
    with pytest.raises(LimitError, match="the limit is 10"):
        autopsy(database, max_bytes=10)


def test_a_journal_that_names_another_file_is_never_played_back(tmp_path):
    """An opener that rolls back a journal deletes the super-journal that it names."""
    path, other = tmp_path / "a.db", tmp_path / "precious"
    connection = sqlite3.connect(path)
    connection.execute("create table t(a)")
    connection.commit()
    connection.close()
    name = bytes(other)
    tail = (1).to_bytes(4) + name + len(name).to_bytes(4) + (sum(name) & 0xFFFFFFFF).to_bytes(4)
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + b"".join(number.to_bytes(4) for number in (0, 1, 2, 512, 4096))
    (tmp_path / "a.db-journal").write_bytes(header.ljust(512, b"\0") + tail + magic)
    other.write_bytes(b"")
    report = autopsy(path)
    assert report.facts.journal.super_journal == str(other)
    assert other.exists()
    assert any("super-journal" in note for note in report.notes)


def test_the_command(database, left_by):
    def command(*arguments):
        line = [sys.executable, "-c", "from crashlab.cli import main; main()", "autopsy", *map(str, arguments)]
        return run(line, capture_output=True, text=True, check=False)

    done = command(database)
    assert done.returncode == 0
    assert done.stdout.startswith("HEALTHY")
    path, _ = left_by("d2", 11)
    done = command(path, "--format", "json")
    assert done.returncode == 1
    assert [named["id"] for named in json.loads(done.stdout)["first"]] == ["d2"]
    done = command(f"{path}-wal")
    assert (done.returncode, done.stdout) == (2, "")
    assert "name the main file" in done.stderr
