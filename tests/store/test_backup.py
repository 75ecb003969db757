"""Backups: consistent, verified, kept to the newest N, and never another's file deleted."""

import os
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from store import StateManager, StoreDamaged, StoreError, StoreIdentity, StoreValidation


def rows(path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT count(*) FROM system_metrics").fetchone()[0]


def no_autocheckpoint(*args, **options):
    connection = sqlite3.connect(*args, **options)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def test_a_backup_is_one_file_with_what_is_only_in_the_wal(make, wal):
    store = make(connect=no_autocheckpoint)
    for i in range(100):
        store.record_system_metric("m", i)
    assert wal.stat().st_size > 100 * 4096
    backup = store.backup()
    assert [p.name for p in backup.parent.iterdir()] == [backup.name]
    assert rows(backup) == 100
    assert store.newest_good_backup() == backup


class Copying(StateManager):
    """Broken: copies the file."""

    def _write_backup(self, target):
        shutil.copyfile(self._path, target)


class CopyingButVerified(StateManager):
    """Broken as well, but the verification that follows is the real one."""

    def _copy_to(self, target):
        census = super()._copy_to(target)
        target.unlink()
        shutil.copyfile(self._path, target)
        return census


def test_a_file_copy_misses_rows_and_the_verification_says_so(make, tmp_path):
    make().close()
    for cls in (Copying, CopyingButVerified):
        store = make(cls=cls, connect=no_autocheckpoint)
        for i in range(10):
            store.record_system_metric("m", i)
        if cls is Copying:
            assert rows(store.backup(tmp_path / "copies")) < store.count_system_metrics()
            continue
        with pytest.raises(StoreDamaged, match="differs from it"):
            store.backup(tmp_path / "verified")
        assert list((tmp_path / "verified").iterdir()) == []


def test_a_backup_under_writers_is_consistent(make, query):
    store, done = make(), threading.Event()

    def write() -> None:
        while not done.is_set():
            with store.transaction():
                store.record_system_metric("a", 1)
                store.record_system_metric("b", 1)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        backups = [store.backup(keep=20) for _ in range(10)]
    finally:
        done.set()
        thread.join(10)
    for backup in backups:
        assert rows(backup) % 2 == 0


def test_retention_keeps_the_newest_and_touches_nothing_else(make, tmp_path):
    place = tmp_path / "b"
    place.mkdir()
    other = StateManager(tmp_path / "other" / "neo_state.db", clock=lambda: 5)
    (tmp_path / "other").mkdir()
    with other:
        foreign = other.backup(place)
    store = make()
    mine = [store.backup(place, keep=10) for _ in range(4)]
    bystanders = [
        place / "neo_state.db",
        place / "notes.backup",
        mine[0].with_name(mine[0].name + ".old"),
        mine[0].with_name("x" + mine[0].name),
    ]
    for file in bystanders:
        file.write_bytes(b"mine")
    folder = mine[0].with_name(mine[0].name.replace("-000001-", "-000000-"))
    folder.mkdir()
    newest = store.backup(place, keep=2)
    assert set(place.iterdir()) == {mine[3], newest, foreign, folder, *bystanders}
    assert store.newest_good_backup(place) in {newest, foreign}


def test_numbering_goes_on_after_a_restart_and_with_a_clock_that_stands_still(make):
    names = []
    for _ in range(2):
        with make(clock=lambda: 1_700_000_000 * 10**9) as store:
            names += [store.backup(keep=3).name for _ in range(2)]
    assert [name.split("-")[1] for name in names] == ["000001", "000002", "000003", "000004"]
    assert len(list(store.backup_directory.iterdir())) == 3


def test_what_a_killed_backup_left_goes_when_enough_newer_ones_exist(make):
    store = make()
    first = store.backup()
    left = first.with_name(first.name.replace("-000001-", "-000002-") + ".partial")
    left.write_bytes(b"half")
    store.backup(keep=2)
    assert left.exists()
    store.backup(keep=2)
    store.backup(keep=2)
    assert not left.exists()
    assert len(list(first.parent.iterdir())) == 2


def test_a_failed_copy_keeps_the_earlier_backups_and_no_partial(make, monkeypatch):
    store = make()
    good = store.backup(keep=1)
    for failure, error in (
        (sqlite3.OperationalError("database or disk is full"), StoreError),
        (OSError("no space"), StoreError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):

        def fail(target, before, failure=failure):
            raise failure

        monkeypatch.setattr(store, "_verify_backup", fail)
        with pytest.raises(error):
            store.backup(keep=1)
        assert list(good.parent.iterdir()) == [good]


def test_a_copy_of_a_source_with_a_broken_index_is_refused(make, path):
    with make() as store:
        for i in range(5):
            store.record_system_metric("m", i, key=str(i))
    with closing(sqlite3.connect(path)) as connection:
        # An index that does not match its table: integrity_check sees it, quick_check does not.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'IS NOT NULL', '= ''0''') WHERE name = 'system_metrics_key'"
        )
        connection.commit()
    store = make()
    with pytest.raises(StoreDamaged, match="fails integrity_check"):
        store.backup()
    assert list(store.backup_directory.iterdir()) == []


@pytest.mark.parametrize("keep", [0, -1, 1.5, True, None])
def test_keep_must_be_a_positive_number(store, keep):
    with pytest.raises(StoreValidation, match="keep"):
        store.backup(keep=keep)


def test_bad_directories_and_a_backup_inside_a_transaction_are_refused(store, tmp_path):
    (tmp_path / "file").touch()
    for directory, match in (
        (tmp_path / "file", "not a directory"),
        ("", "directory"),
        (7, "directory"),
        ("a\0", "NUL"),
    ):
        with pytest.raises(StoreValidation, match=match):
            store.backup(directory)
    with pytest.raises(StoreError, match="inside a transaction"), store.transaction():
        store.backup()


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be unlinked elsewhere")
def test_a_vanished_source_is_not_recreated_by_its_backup(make, path):
    store = make()
    path.unlink()
    with pytest.raises(StoreIdentity, match="is gone"):
        store.backup()
    assert not path.exists()
