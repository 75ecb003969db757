"""Lost locks and mixed generations of a WAL are seen in the process that they befall, before a row is lost."""

import os
import sqlite3

import pytest

from crashlab.engine.schedules.harm import LOST_LOCKS, WAL_GENERATIONS, Harm
from crashlab.sqlite.lock_rows import shows_own_locks
from crashlab.sqlite.tap import Tap
from crashlab.writers.schedule.gate import PointGate
from crashlab.writers.schedule.handles import Handles
from crashlab.writers.schedule.turns import Turns

sees_locks = pytest.mark.skipif(not shows_own_locks(), reason="lock rows are looked up in Linux's /proc/locks")


@pytest.fixture(scope="module")
def turns():
    made = Turns()
    made.handles = Handles()
    return made


@pytest.fixture
def database(turns, tmp_path):
    """Two connections in WAL mode, seen through the gate."""
    path = tmp_path / "a.db"
    with Tap(gate=PointGate(turns)):
        connections = [sqlite3.connect(path, isolation_level=None) for _ in range(2)]
        connections[0].execute("PRAGMA journal_mode=WAL")
        connections[0].execute("CREATE TABLE t(v)")
        connections[1].execute("INSERT INTO t VALUES(1)")
        yield path, connections
        for connection in connections:
            connection.close()
    assert turns.handles.files == {}


def looked(turns, harm=None):
    return dict((harm or Harm(turns.handles)).look())


def test_what_sqlite_does_by_itself_is_no_harm(turns, database):
    path, (one, _other) = database
    assert {os.path.basename(named.path) for named in turns.handles.files.values()} == {"a.db", "a.db-wal", "a.db-shm"}
    assert looked(turns) == {}
    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "INSERT INTO t VALUES(2)"):
        one.execute(statement).fetchall()
        assert looked(turns) == {}
    one.close()
    assert looked(turns) == {}
    os.stat(f"{path}-wal")
    with open(path.with_name("another"), "wb"):
        pass
    assert looked(turns) == {}


def test_the_last_close_takes_everything_with_it(turns, database):
    path, connections = database
    for connection in connections:
        connection.close()
        assert looked(turns) == {}
    assert not os.path.exists(f"{path}-wal")


@sees_locks
@pytest.mark.parametrize("suffix", ["", "-shm"])
def test_a_close_of_the_file_in_the_process_loses_the_locks(turns, database, suffix):
    path, _ = database
    harm = Harm(turns.handles)
    with open(f"{path}{suffix}", "rb"):
        assert looked(turns, harm) == {}
    found = looked(turns, harm)
    assert found.keys() == {LOST_LOCKS}
    assert f"a.db{suffix}" in found[LOST_LOCKS]
    assert looked(turns, harm) == {}  # told once


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_file_that_has_lost_its_name_or_given_it_to_another(turns, database, suffix):
    path, _ = database
    named = f"{path}{suffix}"
    os.rename(named, f"{path}.aside")
    assert "no name any more" in looked(turns)[WAL_GENERATIONS]
    with open(named, "wb"):
        pass
    assert "another file has its name" in looked(turns)[WAL_GENERATIONS]
    os.replace(f"{path}.aside", named)
    assert WAL_GENERATIONS not in looked(turns)
