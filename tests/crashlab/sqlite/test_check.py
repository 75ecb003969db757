import os
import sqlite3
from contextlib import closing

import pytest
from real_databases import wal_database

from crashlab.errors import LimitError
from crashlab.sqlite.check import (
    MainKind,
    foreign_key_check,
    integrity_check,
    main_alone,
    open_evidence,
    quick_check,
)


@pytest.fixture
def crashed(tmp_path):
    """Main and WAL as a killed writer leaves them: table and rows in the WAL only."""
    made = tmp_path / "made"
    made.mkdir()
    main, wal, connection = wal_database(made, commits=20)
    connection.close()
    left = tmp_path / "left"
    left.mkdir()
    (left / "a.db").write_bytes(main)
    (left / "a.db-wal").write_bytes(wal)
    return left / "a.db"


def make(path, rows=300):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("create table t(a integer primary key, b text)")
        connection.execute("create index i on t(b)")
        connection.execute("begin")
        connection.executemany("insert into t(b) values(?)", [(f"{n:05d}" + "x" * 50,) for n in range(rows)])
        connection.execute("commit")
    return path


def test_a_sound_database_has_no_complaints(tmp_path):
    with open_evidence(make(tmp_path / "a.db")) as connection:
        assert quick_check(connection) == integrity_check(connection) == foreign_key_check(connection) == ()


def test_evidence_is_opened_with_its_wal_and_not_changed_by_a_byte(crashed):
    before = {path.name: path.read_bytes() for path in crashed.parent.iterdir()}
    with open_evidence(crashed) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (60,)
        assert connection.execute("pragma trusted_schema").fetchone() == (0,)
        assert connection.execute("pragma cell_size_check").fetchone() == (1,)
        connection.execute("drop table t")  # the copy may be destroyed
    assert {path.name: path.read_bytes() for path in crashed.parent.iterdir()} == before


def test_the_private_copy_is_removed_even_after_an_exception(crashed, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(sqlite3.OperationalError), open_evidence(crashed, scratch=scratch) as connection:
        connection.execute("select * from not_there")
    assert os.listdir(scratch) == []
    with pytest.raises(LimitError), open_evidence(crashed, scratch=scratch, max_bytes=100):
        pass
    assert os.listdir(scratch) == []


def test_a_page_overwritten_with_noise_is_complained_of(tmp_path):
    path = make(tmp_path / "a.db")
    data = bytearray(path.read_bytes())
    data[4 * 4096 : 4 * 4096 + 200] = b"\xa5" * 200
    path.write_bytes(data)
    with open_evidence(path) as connection:
        assert quick_check(connection)
        assert integrity_check(connection)


def test_only_integrity_check_sees_an_index_that_disagrees(tmp_path):
    path = make(tmp_path / "a.db")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"00150" + b"x" * 50)
    data[at : at + 5] = b"00149"  # in one tree alone; the order of neighbours still holds
    path.write_bytes(data)
    with open_evidence(path) as connection:
        assert quick_check(connection) == ()
        assert any("missing from index" in line for line in integrity_check(connection))


def test_problem_lines_are_bounded(tmp_path):
    path = make(tmp_path / "a.db", rows=3000)
    data = bytearray(path.read_bytes())
    for page in range(4, len(data) // 4096):
        data[page * 4096] = 0xFF
    path.write_bytes(data)
    with open_evidence(path) as connection:
        assert len(quick_check(connection, limit=3)) == 3
        lines = integrity_check(connection)
        assert 3 < len(lines) <= 100
        assert len(integrity_check(connection, limit=1)) == 1


def test_a_foreign_file_is_a_failed_check_and_no_exception(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"hello, world\n" * 1000)
    with open_evidence(path) as connection:
        assert quick_check(connection) == ("quick_check failed: file is not a database",)
        assert integrity_check(connection) == ("integrity_check failed: file is not a database",)
        assert foreign_key_check(connection) == ("foreign_key_check failed: file is not a database",)


def test_broken_foreign_keys_are_listed(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("create table p(id integer primary key)")
        connection.execute("create table c(id integer primary key, p references p(id))")
        connection.execute("insert into p values(1)")
        connection.execute("insert into c values(1, 1), (2, 77), (3, 78)")
    with open_evidence(tmp_path / "a.db") as connection:
        assert foreign_key_check(connection) == (
            "c row 2 refers to no row of p (key 0)",
            "c row 3 refers to no row of p (key 0)",
        )
        assert len(foreign_key_check(connection, limit=1)) == 1
        assert integrity_check(connection) == ()


def test_a_check_that_takes_too_long_is_cut_off(tmp_path):
    with open_evidence(make(tmp_path / "a.db", rows=20000), seconds=0) as connection:
        assert integrity_check(connection) == ("integrity_check failed: interrupted",)


def test_main_alone_without_its_wal_has_no_schema(crashed):
    alone = main_alone(crashed, ["t"])
    assert (alone.kind, alone.rows, alone.detail) == (MainKind.NO_SCHEMA, {}, "no table t")
    assert main_alone(crashed, []).detail == "no tables"


def test_main_alone_stands_at_the_last_checkpoint(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    _, _, connection = wal_database(made, commits=20)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.execute("insert into t(b) values('in the WAL only')")
    connection.execute("create table late(a)")
    (tmp_path / "a.db").write_bytes((made / "a.db").read_bytes())
    connection.close()
    assert sqlite_says_wal(tmp_path / "a.db")
    alone = main_alone(tmp_path / "a.db", ["t", "late"])
    assert (alone.kind, alone.rows) == (MainKind.READABLE, {"t": 60})
    assert alone.detail == "no table late"
    assert main_alone(tmp_path / "a.db", []).rows == {"t": 60}


def sqlite_says_wal(path):
    return path.read_bytes()[18:20] == b"\x02\x02"


def test_main_alone_ignores_a_wal_beside_it_and_leaves_both_untouched(crashed):
    before = {path.name: path.read_bytes() for path in crashed.parent.iterdir()}
    assert main_alone(crashed, ["t"]).kind is MainKind.NO_SCHEMA
    assert {path.name: path.read_bytes() for path in crashed.parent.iterdir()} == before


def test_main_alone_malformed_empty_and_missing(tmp_path):
    path = make(tmp_path / "a.db", rows=2000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 // 4096 * 4096])
    malformed = main_alone(path, ["t"])
    assert (malformed.kind, malformed.detail) == (MainKind.MALFORMED, "database disk image is malformed")
    path.write_bytes(b"not a database at all" * 400)
    assert main_alone(path, ["t"]).kind is MainKind.MALFORMED
    path.write_bytes(b"")
    assert main_alone(path, ["t"]).kind is MainKind.EMPTY
    path.unlink()
    assert main_alone(path, ["t"]).kind is MainKind.MISSING


def test_odd_table_names_are_counted(tmp_path):
    name = 'a "quoted" täble; drop'
    with closing(sqlite3.connect(tmp_path / "x?y#z.db", isolation_level=None)) as connection:
        connection.execute('create table "a ""quoted"" täble; drop"(a)')
        connection.execute('insert into "a ""quoted"" täble; drop" values(1)')
    assert main_alone(tmp_path / "x?y#z.db", [name]).rows == {name: 1}
