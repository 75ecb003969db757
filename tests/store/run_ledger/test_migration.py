"""The schema migrates in place, once, whoever wins the race; WAL is switched on as far as it goes."""

import logging
import os
import sqlite3

import pytest

from store import RunLedger, StoreError, StoreIdentity, StoreSchemaTooNew, StoreValidation, enable_wal
from store.run_ledger.schema import ADDED_COLUMNS, MIGRATIONS
from store.schema import Migration

OLD_RUN = "INSERT INTO protocol_runs VALUES ('old', 'a', 'p', 'completed', 'first', 1600000000, 1600000009, NULL)"


class VersionOne(RunLedger):
    migrations = MIGRATIONS[:1]


@pytest.fixture
def version_one(make, path):
    """A database of the first release with one ended run."""
    old = make(cls=VersionOne)
    old._write(OLD_RUN, ())
    old.close()
    return path


def test_an_old_ledger_is_migrated_once_and_its_times_converted_once(version_one, make):
    for _ in range(2):
        with make(version_one, cls=RunLedger) as ledger:
            run = ledger.get_run("old")
            assert (run.created_at, run.ended_at) == (1_600_000_000 * 10**9, 1_600_000_009 * 10**9)
            assert (run.heartbeat_at, run.step_index, run.total_steps, run.fence) == (run.created_at, 0, None, 1)


def test_a_migrated_and_a_new_ledger_have_the_same_schema(version_one, make, tmp_path):
    sql = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    new = make(tmp_path / "new.db", cls=RunLedger)
    assert make(version_one, cls=RunLedger)._read(sql) == new._read(sql)


def test_columns_that_somebody_else_added_are_no_error(version_one, make):
    with sqlite3.connect(version_one) as connection:  # a program that does not bump the version
        for column in ADDED_COLUMNS[2][:2]:
            connection.execute(f"ALTER TABLE {column.table} ADD COLUMN {column.name} {column.declaration}")
    connection.close()
    assert make(version_one, cls=RunLedger).get_run("old").step_index == 0


def test_a_migration_that_fails_leaves_the_old_version_whole(version_one, make, query):
    class Broken(RunLedger):
        migrations = (
            *MIGRATIONS[:1],
            MIGRATIONS[1]._replace(statements=(*MIGRATIONS[1].statements, "SELECT no_such()")),
        )

    before = query(version_one, "SELECT sql FROM sqlite_master")
    with pytest.raises(StoreError, match="no_such"):
        make(version_one, cls=Broken)
    assert query(version_one, "SELECT sql FROM sqlite_master") == before
    assert query(version_one, "PRAGMA user_version") == [(1,)]
    assert make(version_one, cls=RunLedger).get_run("old").created_at == 1_600_000_000 * 10**9


def test_newer_and_foreign_databases_are_refused_as_they_are(make, path, tmp_path):
    make(cls=type("Newer", (RunLedger,), {"migrations": (*MIGRATIONS, Migration(3, "next", ()))})).close()
    before = path.read_bytes()
    with pytest.raises(StoreSchemaTooNew, match="version 3"):
        make(cls=RunLedger)
    assert path.read_bytes() == before
    make(tmp_path / "state.db").close()  # a StateManager's
    with pytest.raises(StoreIdentity):
        make(tmp_path / "state.db", cls=RunLedger)


def test_enable_wal_says_what_is_in_force(path, tmp_path, logged):
    assert enable_wal(path) == "wal"
    assert enable_wal(str(path)) == "wal"
    held = tmp_path / "held.db"
    with sqlite3.connect(held, isolation_level=None) as holder:
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):  # not even the mode can be read
            enable_wal(held, timeout_s=0.1)
        holder.execute("COMMIT")
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM t").fetchall()
        assert enable_wal(held, timeout_s=0.1) == "delete"
        holder.execute("COMMIT")
    holder.close()
    assert len(logged(f"{held}: could not be switched to WAL", logging.WARNING)) == 1
    assert enable_wal(held) == "wal"
    for bad in (tmp_path, tmp_path / "no" / "where.db"):
        with pytest.raises(StoreValidation):
            enable_wal(bad)
    text = tmp_path / "text.db"
    text.write_text("no database, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="not a database"):
        enable_wal(text)


@pytest.mark.skipif(os.name != "posix", reason="needs a VFS without shared memory")
def test_a_ledger_works_where_there_is_no_wal(make, path, logged):
    def connect(target, **options):
        uri = target if options.pop("uri", False) else f"file:{target}?mode=rwc"
        return sqlite3.connect(f"{uri}&vfs=unix-dotfile", uri=True, **options)

    for _ in range(2):
        with make(cls=RunLedger, connect=connect) as ledger:
            ledger.start_run("r", agent="a", protocol="p")
            assert ledger._read("PRAGMA journal_mode") == [("delete",)]
    assert len(logged(f"{path}: WAL mode is not available here", logging.WARNING)) == 2
