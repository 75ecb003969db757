"""Distrust finds damage and believes no schema, and calls no sound database malformed."""

import sqlite3
from contextlib import closing

import pytest

from crashlab.sqlite.check import integrity_check, open_evidence, quick_check
from crashlab.sqlite.distrust import distrust


@pytest.fixture
def database(tmp_path):
    def make(*statements):
        path = tmp_path / "a.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        return path

    return make


@pytest.mark.parametrize(
    "column", ["x TEXT CHECK (json_valid(x))", "x TEXT, y AS (json_extract(x, '$.a'))", "x TEXT CHECK (length(x) > 1)"]
)
def test_a_schema_that_uses_json_is_sound(database, column):
    path = database(f"CREATE TABLE t({column})", "INSERT INTO t(x) VALUES('{\"a\": 1}')")
    with open_evidence(path) as connection:
        assert quick_check(connection) == integrity_check(connection) == ()
        assert connection.execute("SELECT x FROM t").fetchall() == [('{"a": 1}',)]


def test_a_schema_without_such_functions_stays_distrusted(database):
    with closing(sqlite3.connect(database("CREATE TABLE t(x)"))) as connection:
        distrust(connection)
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
        assert connection.execute("PRAGMA cell_size_check").fetchone() == (1,)


def test_a_damaged_file_is_left_for_the_caller_to_meet(database):
    path = database("CREATE TABLE t(x)", "INSERT INTO t VALUES(1)")
    data = bytearray(path.read_bytes())
    data[100] = 0
    path.write_bytes(data)
    with closing(sqlite3.connect(path)) as connection:
        distrust(connection)
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            connection.execute("SELECT * FROM t")
