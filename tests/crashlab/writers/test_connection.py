"""The `connect()` that workloads are handed: which marks it leaves, whatever way a program commits."""

import contextlib
import sqlite3
import sys
from contextlib import closing

import pytest

from crashlab.log.format import Kind
from crashlab.log.history import build_history
from crashlab.log.reader import read_log
from crashlab.log.writer import LogWriter
from crashlab.model.history import Ended, EndKind
from crashlab.writers.connection import ConnectMaker, classify
from crashlab.writers.marks import Marks


class Marked:
    def __init__(self, tmp_path):
        self.log = LogWriter(str(tmp_path / "log.0"))
        self.maker = ConnectMaker(Marks(self.log, None, lambda trigger: None))
        self.path = tmp_path / "state.db"
        self.seen = 0

    def connect(self, **more):
        return self.maker.connect(self.path, **more)

    def new(self):
        """The phases entered and left since the last call."""
        history = build_history("test", list(read_log(self.log.base)), Ended(EndKind.EXITED, 0))
        phases = history.phases[self.seen :]
        self.seen = len(history.phases)
        assert all(phase.leave_ns for phase in phases)
        return [f"{phase.name} {phase.detail}".strip() for phase in phases]


@pytest.fixture
def marked(tmp_path):
    return Marked(tmp_path)


@pytest.fixture
def connection(marked):
    with closing(marked.connect(isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(x UNIQUE)")
        marked.new()
        yield connection


def test_begin_insert_commit_by_execute(marked, connection):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES(1)")
    connection.execute("INSERT INTO t VALUES(2)")
    assert marked.new() == []
    connection.execute("COMMIT")
    assert marked.new() == ["commit"]


def test_by_a_cursor_of_its_own(marked, connection):
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    cursor.executemany("INSERT INTO t VALUES(?)", [(1,), (2,)])
    assert marked.new() == []
    cursor.execute("end transaction")
    assert marked.new() == ["commit"]
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_a_statement_in_autocommit_mode_commits_itself(marked, connection):
    connection.execute("INSERT INTO t VALUES(1)")
    connection.execute("/* why */ -- and more\n update t SET x = ?", (5,))
    connection.execute("DELETE FROM t")
    connection.executemany("REPLACE INTO t VALUES(?)", [(1,), (2,)])
    assert marked.new() == ["commit"] * 4
    connection.execute("SELECT * FROM t").fetchall()
    connection.execute("PRAGMA quick_check").fetchall()
    assert marked.new() == []


def test_the_modules_own_transactions_commit_by_commit_and_by_the_context_manager(marked, connection):
    with closing(marked.connect()) as other:
        other.execute("INSERT INTO t VALUES(1)")
        assert marked.new() == []
        other.commit()
        assert marked.new() == ["commit"]
        other.commit()
        assert marked.new() == []
        with other:
            other.execute("INSERT INTO t VALUES(2)")
        assert marked.new() == ["commit"]
        with other:
            other.execute("SELECT 1")
        assert marked.new() == []
        with contextlib.suppress(KeyError), other:
            other.execute("INSERT INTO t VALUES(3)")
            raise KeyError
        assert marked.new() == []
        assert other.execute("SELECT count(*) FROM t").fetchone() == (2,)
        other.execute("INSERT INTO t VALUES(4)")
        other.rollback()
        assert marked.new() == []


def test_a_script(marked, connection):
    connection.executescript("BEGIN; INSERT INTO t VALUES(1); INSERT INTO t VALUES(2); COMMIT;")
    connection.cursor().executescript("INSERT INTO t VALUES(3);")
    assert marked.new() == ["commit script"] * 2
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_checkpoints_name_their_mode(marked, connection):
    connection.execute("PRAGMA wal_checkpoint").fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.cursor().execute("pragma main.wal_checkpoint = full;").fetchone()
    assert marked.new() == ["checkpoint PASSIVE", "checkpoint TRUNCATE", "checkpoint FULL"]


def test_close_is_a_phase_and_an_error_leaves_it(marked, connection):
    other = marked.connect()
    other.close()
    assert marked.new() == ["connection-close"]
    connection.execute("INSERT INTO t VALUES(1)")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO t VALUES(1)")
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("COMMIT")
    assert marked.new() == ["commit"] * 3


@pytest.mark.parametrize("own_cursor", [False, True])
def test_an_error_that_the_program_keeps_does_not_keep_its_statement(marked, connection, own_cursor):
    """As with CPython's own: with a statement left, close() would not be the last one's, and the WAL would stay."""
    marked.connect().close()
    with closing(sqlite3.connect(marked.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError) as kept:
            (connection.cursor() if own_cursor else connection).execute("INSERT INTO t VALUES(1)")
        other.execute("ROLLBACK")
    connection.close()
    assert not marked.path.with_name("state.db-wal").exists()
    assert "locked" in str(kept.value)


def test_a_programs_own_factory_is_kept_and_extended(marked, connection):
    class Ours(sqlite3.Connection):
        def ours(self):
            return self.execute("SELECT 'ours'").fetchone()[0]

    with closing(marked.connect(factory=Ours, isolation_level=None)) as other:
        assert isinstance(other, Ours)
        assert other.ours() == "ours"
        other.execute("INSERT INTO t VALUES(1)")
        assert marked.new() == ["commit"]
        with closing(marked.connect(factory=Ours)) as again:
            assert type(again) is type(other)


def test_it_is_a_drop_in_for_connect(marked, connection):
    with closing(marked.maker.connect(f"file:{marked.path}?mode=ro", uri=True, timeout=1.0)) as reader:
        reader.row_factory = sqlite3.Row
        connection.execute("INSERT INTO t VALUES(1)")
        assert reader.execute("SELECT x FROM t WHERE x = :x", {"x": 1}).fetchone()["x"] == 1
        assert reader.total_changes == 0
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("INSERT INTO t VALUES(2)")
        cursor = reader.cursor()
        assert cursor.execute("SELECT 1") is cursor
        assert list(cursor) == [(1,)] or [tuple(row) for row in reader.execute("SELECT 1")] == [(1,)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit came with Python 3.12")
def test_autocommit_of_python_3_12(marked, connection):
    with closing(marked.connect(autocommit=True)) as other:
        other.execute("INSERT INTO t VALUES(1)")
        assert marked.new() == ["commit"]
    marked.new()
    with closing(marked.connect(autocommit=False)) as other:
        other.execute("INSERT INTO t VALUES(2)")
        assert marked.new() == []
        other.commit()
        assert marked.new() == ["commit"]


def test_settings_are_those_of_a_connection_that_writes(marked, connection):
    connection.execute("PRAGMA synchronous=OFF")
    with closing(marked.connect()) as reader:
        reader.execute("PRAGMA query_only=ON")
        reader.execute("PRAGMA synchronous=FULL")
        found = marked.maker.effective_settings()
    assert (found["journal_mode"], found["synchronous"]) == ("wal", "0")


def test_many_different_statements_do_not_pile_up(marked, connection):
    for number in range(3000):
        connection.execute(f"INSERT INTO t VALUES({number})") if number % 100 == 0 else connection.execute(
            f"SELECT {number}"
        ).fetchone()
    assert marked.new() == ["commit"] * 30


@pytest.mark.parametrize(
    ("sql", "mark"),
    [
        ("COMMIT", ("commit", "")),
        ("commit;", ("commit", "")),
        ("  \n END TRANSACTION", ("commit", "")),
        ("/* COMMIT */ SELECT 1", ("", "")),
        ("-- x\nCOMMIT", ("commit", "")),
        ("-- only a comment", ("", "")),
        ("", ("", "")),
        (";", ("", "")),
        ("COMMITMENT", ("", "")),
        ("INSERT INTO t VALUES(1)", ("write", "")),
        ("insert or replace into t values(1)", ("write", "")),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", ("write", "")),
        ("VACUUM", ("write", "")),
        ("ROLLBACK", ("", "")),
        ("BEGIN", ("", "")),
        ("SAVEPOINT a", ("", "")),
        ("SELECT 1", ("", "")),
        ("PRAGMA journal_mode=WAL", ("", "")),
        ("PRAGMA wal_checkpoint", ("checkpoint", "PASSIVE")),
        ("PRAGMA wal_checkpoint(RESTART)", ("checkpoint", "RESTART")),
        ("PRAGMA wal_checkpoint('truncate')", ("checkpoint", "TRUNCATE")),
        ("PRAGMA aux.wal_checkpoint(FULL)", ("checkpoint", "FULL")),
        ("PRAGMA wal_autocheckpoint=0", ("", "")),
    ],
)
def test_what_a_statement_is(sql, mark):
    assert classify(sql) == mark


def test_records_are_two_for_each_phase(marked, connection):
    kinds = [record.kind for record in read_log(marked.log.base)]
    assert kinds.count(Kind.ENTER) == kinds.count(Kind.LEAVE) > 0
