"""What start-up refuses, and that it leaves the refused files as they were."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from store import StateManager, StoreDamaged, StoreError, StoreIdentity, StoreSchemaTooNew, StoreValidation
from store.schema import MIGRATIONS, Migration


def contents(directory) -> dict[str, bytes]:
    """Every file but the -shm, which is volatile; only ever called when no store is open."""
    return {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file() and not p.name.endswith("-shm")}


def refused(path, error: type[StoreError], match: str) -> StoreError:
    before = contents(path.parent)
    store = StateManager(path)
    with pytest.raises(error, match=match) as caught:
        store.initialize_database()
    store.close()
    assert contents(path.parent) == before
    return caught.value


@pytest.fixture
def filled(make, path):
    with make() as store:
        for i in range(300):
            store.record_system_metric("m" * 50, i, key=f"k{i:06d}")
    assert path.stat().st_size > 5 * 4096
    return path


def test_a_crashed_database_is_recovered(crashed, make):
    store = make(crashed)
    assert [m.value for m in store.system_metrics()] == list(range(50))


@pytest.mark.parametrize(
    "content", [b"SQLite format 3\0", b"not a database " * 100, bytes(4096), bytes(range(256)) * 40]
)
def test_a_file_that_is_no_database_is_refused(path, content):
    path.write_bytes(content)
    refused(path, StoreDamaged, "file is not a database; it was left as it is; there is no good backup")


def test_a_damaged_page_is_refused(filled):
    data = bytearray(filled.read_bytes())
    page = next(n for n in range(1, len(data) // 4096) if data[n * 4096] == 13)  # a table's leaf
    data[page * 4096 : page * 4096 + 100] = bytes(100)
    filled.write_bytes(data)
    refused(filled, StoreDamaged, "is damaged: ")


def test_a_truncated_file_is_refused(filled):
    with filled.open("r+b") as file:
        file.truncate(filled.stat().st_size - 2 * 4096)
    refused(filled, StoreDamaged, "is damaged: ")


def test_a_damaged_file_keeps_the_wal_that_may_save_it(crashed, wal):
    data = bytearray(crashed.read_bytes())
    data[:16] = b"\xff" * 16
    crashed.write_bytes(data)
    refused(crashed, StoreDamaged, "is not a database")
    assert wal.stat().st_size > 0


def test_a_file_of_one_byte_which_sqlite_would_overwrite_is_refused(path):
    path.write_bytes(b"x")
    refused(path, StoreDamaged, "one byte long")


def test_a_crashed_database_without_its_shm_is_checked_and_recovered(crashed, make):
    crashed.with_name(crashed.name + "-shm").unlink()
    assert make(crashed).count_system_metrics() == 50


@pytest.mark.parametrize("how", ["empty", "missing"])
def test_a_wal_without_its_main_file_is_refused(crashed, wal, how):
    if how == "empty":
        os.truncate(crashed, 0)
    else:
        crashed.unlink()
    refused(crashed, StoreDamaged, f"the main file is {how} but its -wal holds {wal.stat().st_size} bytes")


def test_what_sqlite_alone_does_to_an_empty_main_file(crashed, wal):
    os.truncate(crashed, 0)
    with closing(sqlite3.connect(crashed)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []
    assert not wal.exists()  # 50 acknowledged rows are gone without an error


def test_an_empty_file_is_a_new_database_unless_it_was_backed_up(path, make):
    path.touch()
    with make() as store:
        store.record_system_metric("m", 1)
        backup = store.backup()
    os.truncate(path, 0)
    assert str(backup) in str(refused(path, StoreDamaged, "is empty, but it has been backed up before"))


def test_the_refusal_names_the_newest_good_backup(filled, make, path):
    with make() as store:
        backups = [store.backup() for _ in range(3)]
    backups[-1].write_bytes(b"rotten")
    path.write_bytes(b"rotten")
    error = refused(path, StoreDamaged, "the newest good backup is ")
    assert str(error).endswith(str(backups[1]))
    shutil.copyfile(backups[1], path)
    assert make().count_system_metrics() == 300


def test_a_backup_directory_elsewhere_is_searched_when_given(make, path, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    with make(backup_directory=elsewhere) as store:
        backup = store.backup()
    assert backup.parent == elsewhere
    path.write_bytes(b"rotten")
    with pytest.raises(StoreDamaged) as caught:
        make(backup_directory=elsewhere)
    assert str(backup) in str(caught.value)


class Recreating(StateManager):
    """Broken: a damaged database is deleted and made anew."""

    def _on_damaged(self, problem):
        self._path.unlink()


def test_the_broken_twin_recreates_by_overriding_one_method(filled, make):
    filled.write_bytes(b"rotten")
    assert make(cls=Recreating).count_system_metrics() == 0


def test_another_programs_database_is_refused(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE coverage (x)")
        connection.commit()
    refused(path, StoreIdentity, "another program's database")


def test_a_directory_a_missing_directory_and_a_pipe_are_refused(tmp_path):
    with pytest.raises(StoreValidation, match="is a directory"):
        StateManager(tmp_path).initialize_database()
    with pytest.raises(StoreValidation, match="does not exist; create it first"):
        StateManager(tmp_path / "no" / "x.db").initialize_database()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(StoreValidation, match="not a regular file"):
            StateManager(tmp_path / "pipe").initialize_database()


@pytest.mark.parametrize("db_path", ["", "  ", "a\0b", None, 7, b"x.db", True])
def test_a_path_that_is_none_is_refused(db_path):
    with pytest.raises(StoreValidation, match="db_path"):
        StateManager(db_path)


def test_collaborators_are_checked(path):
    for option in ("connect", "clock", "wait"):
        with pytest.raises(StoreValidation, match=option):
            StateManager(path, **{option: 3})
    with pytest.raises(StoreValidation, match="clock"):
        StateManager(path, clock=lambda: 1.5).initialize_database()


def test_a_path_is_taken_literally_and_links_are_followed(make, tmp_path):
    odd = tmp_path / "a?mode=ro#50%41 ü.db"
    make(odd).close()
    assert make(odd).count_fills() == 0
    if os.name != "posix":  # making links needs a privilege elsewhere
        return
    link = tmp_path / "link.db"
    link.symlink_to(odd)
    assert make(link).path == odd


def test_a_locked_database_is_an_error_not_damage(make, path):
    class Hasty(StateManager):
        BUSY_TIMEOUT_S = 0.1

    make().close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO engine_state VALUES ('a', 'b', 1)")
        with pytest.raises(StoreError, match="cannot be opened: database is locked") as caught:
            make(cls=Hasty)
        assert type(caught.value) is StoreError


def test_a_kill_in_the_first_transaction_leaves_a_usable_file(path, make):
    # A hot rollback journal: read-only connections cannot read such a file, SQLite's rollback can.
    code = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN')\n"
        "c.execute('CREATE TABLE t (x)')\n"
        "c.execute('COMMIT'); c.execute('DROP TABLE t'); c.execute('BEGIN'); c.execute('CREATE TABLE t (x)')\n"
        "c.executemany('INSERT INTO t VALUES (?)', [('x' * 3000,)] * 500)\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    store = make()
    assert store.count_system_metrics() == 0
    assert not path.with_name(path.name + "-journal").exists()


LATEST = MIGRATIONS[-1].version


class Next(StateManager):
    """A store one version ahead."""

    migrations = (
        *MIGRATIONS,
        Migration(LATEST + 1, "notes", ("CREATE TABLE notes (x)", "INSERT INTO notes VALUES (:now)")),
    )


def test_migrations_run_once_and_a_newer_schema_is_refused(make, path, query):
    with make() as store:
        store.record_system_metric("m", 1)
    assert query(path, "PRAGMA user_version") == [(LATEST,)]
    make(cls=Next).close()
    make(cls=Next).close()
    assert query(path, "PRAGMA user_version") == [(LATEST + 1,)]
    assert query(path, "SELECT count(*) FROM notes") == query(path, "SELECT count(*) FROM system_metrics") == [(1,)]
    refused(path, StoreSchemaTooNew, f"schema version {LATEST + 1}, this store knows up to {LATEST}")


def test_a_migration_that_fails_leaves_the_version_before_it(make, path, query):
    class Broken(StateManager):
        migrations = (
            *Next.migrations,
            Migration(LATEST + 2, "broken", ("CREATE TABLE half (x)", "CREATE TABLE half (x)")),
        )

    make().close()
    with pytest.raises(StoreError, match="table half already exists"):
        make(cls=Broken)
    assert query(path, "PRAGMA user_version") == [(LATEST + 1,)]
    assert query(path, "SELECT count(*) FROM sqlite_master WHERE name = 'half'") == [(0,)]
    make(cls=Next)
