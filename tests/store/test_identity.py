"""Files deleted, renamed or replaced under an open store: it stops, and harms neither generation."""
# ruff: noqa: PT012 - the exception under test ends a block of several statements

import contextlib
import ctypes
import gc
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store import StateManager, StoreIdentity
from store.identity import OpenFiles

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows refuses to delete or rename an open database")

FILES = ("", "-wal", "-shm")

# A process with a store that does as it is told, a line an order, and says what came of it.
HOLDER = """
import sqlite3, sys
from store import StateManager

class Unguarded(StateManager):
    def _watch_files(self, connection, path, *, wal):
        pass

def connect(*args, **options):
    connection = sqlite3.connect(*args, **options)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection

store = {"guarded": StateManager, "unguarded": Unguarded}[sys.argv[2]](sys.argv[1], connect=connect)
store.initialize_database()
for line in sys.stdin:
    verb, *numbers = line.split()
    try:
        if verb == "write":
            for number in range(*map(int, numbers)):
                store.record_system_metric("m", number, key=f"{sys.argv[3]}{number}")
        if verb == "checkpoint":
            with store._lock:
                store._checkpoint(store._require(), "PASSIVE")
        if verb == "close":
            store.close()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    else:
        print("ok", flush=True)
"""


class Holder:
    """A store in a process of its own."""

    def __init__(self, path: Path, kind: str, keys: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), kind, keys],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def do(self, order: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        """Let the interpreter come to its end."""
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()


@pytest.fixture
def hold(path: Path) -> Iterator[Callable[..., Holder]]:
    holders: list[Holder] = []

    def start(kind: str, keys: str) -> Holder:
        holders.append(Holder(path, kind, keys))
        return holders[-1]

    yield start
    for holder in holders:
        holder.end()


@pytest.fixture
def every_write(monkeypatch):
    monkeypatch.setattr(OpenFiles, "WRITES_MAX", 1)


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def keys(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in connection.execute("SELECT metric_key FROM system_metrics")}


def saved(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.retired-*"))


def unlink(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(beside(path, ".away"))


def replace(path: Path) -> None:
    shutil.copy(path, beside(path, ".copy"))
    beside(path, ".copy").replace(path)


def link_back(path: Path) -> None:
    path.rename(beside(path, ".away"))
    path.symlink_to(beside(path, ".away"))


def split(hold: Callable[..., Holder], path: Path, kind: str) -> Holder:
    """A holder with 80 rows, 30 of them in a WAL without a name; 400 acked rows of another process in main."""
    holder = hold(kind, "old")
    assert holder.do("write 0 50") == "ok"
    assert holder.do("checkpoint") == "ok"
    assert holder.do("write 50 80") == "ok"
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink()
    newer = hold(kind, "new")
    assert newer.do("write 0 400") == "ok"
    assert newer.do("close") == "ok"
    return holder


@pytest.mark.parametrize("order", ["write 80 81", "checkpoint", "close", "exit"])
def test_the_newer_generation_loses_nothing_and_the_older_is_saved(hold, path, order):
    holder = split(hold, path, "guarded")
    if order != "exit":
        told = holder.do(order)
        assert told.startswith(f"StoreIdentity the files of {path} were replaced while the store was open")
        assert f"{path}-wal is another file now" in told
        assert all(str(copy) in told for copy in saved(path))
        again = holder.do("write 80 81")
        assert again.startswith("StoreClosed") if order == "close" else again == told
        assert holder.do("close") == "ok"  # it has been told
    holder.end()
    assert keys(path) >= {f"new{number}" for number in range(400)}
    main, wal = saved(path)
    assert wal.name == main.name + "-wal"
    assert wal.stat().st_size > 30 * 4096


@pytest.mark.parametrize("order", ["checkpoint", "close", "exit"])
def test_without_the_check_acked_rows_of_the_newer_generation_are_erased(hold, path, order):
    holder = split(hold, path, "unguarded")
    assert keys(path) >= {f"new{number}" for number in range(400)}
    if order != "exit":
        assert holder.do(order) == "ok"  # SQLite sees nothing wrong
    holder.end()
    found = 0
    with closing(sqlite3.connect(path)) as connection, contextlib.suppress(sqlite3.DatabaseError):  # may be malformed
        found = connection.execute("SELECT count(*) FROM system_metrics NOT INDEXED").fetchone()[0]
    assert found < 400
    assert saved(path) == []


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("deed", [unlink, rename, replace, link_back])
def test_each_of_the_three_files_is_watched_and_the_acked_rows_are_saved(hold, path, suffix, deed):
    holder = hold("guarded", "k")
    assert holder.do("write 0 20") == "ok"
    deed(beside(path, suffix))
    left = {name: beside(path, name).read_bytes() for name in FILES if beside(path, name).exists()}
    time.sleep(OpenFiles.AGE_MAX_NS / 1e9)
    told = holder.do("write 20 60")
    assert told.startswith("StoreIdentity")
    assert f"{path}{suffix} is " in told
    holder.end()
    copy = saved(path)[0]
    assert keys(copy) == {f"k{number}" for number in range(20)}
    for name, content in left.items():  # whatever has the names now was left alone
        assert beside(path, name).read_bytes() == content or name == "-shm"


def test_a_burst_of_writes_is_looked_into_at_a_bounded_interval(make, path, monkeypatch):
    monkeypatch.setattr(OpenFiles, "AGE_MAX_NS", 1 << 62)
    store = make()
    store.record_system_metric("m", 0)
    beside(path, "-shm").unlink()
    acked = 0
    with pytest.raises(StoreIdentity):
        for _ in range(OpenFiles.WRITES_MAX):
            store.record_system_metric("m", 1)
            acked += 1
    assert acked < OpenFiles.WRITES_MAX


def test_a_stopped_store_reads_and_reopens_no_more(make, path, logged):
    store = make()
    store.set_engine_state("k", "v")
    path.rename(beside(path, ".away"))
    with pytest.raises(StoreIdentity) as told:
        store.backup()
    for use in (
        lambda: store.get_engine_state("k"),
        lambda: store.record_system_metric("m", 1),
        lambda: store.start_wal_checkpoint_loop(1),
        store.backup,
        store.initialize_database,
    ):
        with pytest.raises(StoreIdentity, match="replaced while the store was open") as again:
            use()
        assert str(again.value) == str(told.value)
    assert not store.is_open
    assert len(logged("the files of", logging.ERROR)) == 1
    store.close()
    # The old inode under its old name again: this process still has its index.
    beside(path, ".away").rename(path)
    with pytest.raises(StoreIdentity, match=f"process {os.getpid()} still holds a connection"):
        make()


def test_a_block_is_rolled_back_when_its_files_are_replaced(make, path, every_write):
    store = make()
    store.create_session()
    with pytest.raises(StoreIdentity), store.transaction():
        store.set_engine_state("k", "v")
        beside(path, "-wal").unlink()
    copy = saved(path)[0]
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM engine_state").fetchone()[0] == 0
        assert connection.execute("SELECT count(*) FROM sessions").fetchone()[0] == 1


def test_the_loop_ends_and_close_tells_who_was_not_told(make, path, logged):
    looks = iter([False, False, True])
    store = make(wait=lambda stop, seconds: next(looks))
    store.record_system_metric("m", 1)
    beside(path, "-wal").unlink()
    store.start_wal_checkpoint_loop(1)
    store._thread.join(10)
    assert not store._thread.is_alive()
    assert logged("wal_checkpoint failed") == []
    with pytest.raises(StoreIdentity, match="-wal is gone"):
        store.close()
    store.close()


def test_what_cannot_be_saved_stays_in_the_open_descriptor(make, path, monkeypatch):
    monkeypatch.setattr("store.retire.SAVED_BYTES_MAX", 100)
    store = make()
    store.record_system_metric("m", 1)
    beside(path, "-wal").unlink()
    with pytest.raises(StoreIdentity, match=r"-wal could not be saved \(it has \d+ bytes") as told:
        store.close()
    assert saved(path) == []
    descriptor = re.search(r"/proc/\d+/fd/(\d+)", str(told.value))
    assert descriptor is not None
    assert os.fstat(int(descriptor[1])).st_nlink == 0


class Configurable(sqlite3.Connection):
    """A connection with the `setconfig` of Python 3.12, on Pythons before it."""

    def setconfig(self, option: int, enable: bool) -> None:
        library = ctypes.CDLL(sys.modules["_sqlite3"].__file__)
        handle = ctypes.c_void_p.from_address(id(self) + object.__basicsize__)
        assert library.sqlite3_db_config(handle, option, int(enable), None) == 0


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="every connection has setconfig")
@pytest.mark.parametrize("suffix", FILES)
def test_where_sqlite_can_close_without_a_checkpoint_it_is_closed(make, path, suffix, monkeypatch):
    monkeypatch.setattr(sqlite3, "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE", 1006, raising=False)

    def connect(*args, **options):
        return sqlite3.connect(*args, factory=Configurable, **options)

    store = make(connect=connect)
    store.record_system_metric("m", 1, key="old")
    unlink(beside(path, suffix))
    left = {name: beside(path, name).stat() for name in FILES if beside(path, name).exists()}
    connection = store._connection
    with pytest.raises(StoreIdentity, match="closed without a checkpoint; saved"):
        store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    for name, before in left.items():
        after = beside(path, name).stat()
        assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert keys(saved(path)[0]) == {"old"}


def test_what_sqlite_does_to_its_own_files_is_no_alarm(make, path, every_write, caplog):
    store = make()
    backup = store.backup()
    for number in range(3):
        store.record_system_metric("m", number)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("SELECT count(*) FROM system_metrics").fetchall()
            other.execute("VACUUM")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with store._lock:
            store._checkpoint(store._require(), "TRUNCATE")
        store.record_system_metric("m", number)
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM system_metrics').fetchall()"
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
        store.record_system_metric("m", number)
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(path)) as live:
        source.backup(live)  # a restore by SQLite's means
    store.record_system_metric("m", 9)
    store.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert not beside(path, "-wal").exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM system_metrics").fetchall() == [(9,)]


def test_a_hard_link_is_warned_of_once(make, path, every_write, logged):
    store = make()
    os.link(path, beside(path, ".snapshot"))
    for number in range(3):
        store.record_system_metric("m", number)
    assert len(logged(f"{path} has 2 hard links", logging.WARNING)) == 1
    store.close()


def test_files_without_inode_numbers_are_not_watched_and_it_says_so(make, path, every_write, logged, monkeypatch):
    lstat = os.lstat

    def without_numbers(name):
        return os.stat_result((*lstat(name)[:1], 0, 0, *lstat(name)[3:]))

    monkeypatch.setattr("store.identity.os.lstat", without_numbers)
    store = make()
    store.record_system_metric("m", 1)
    store.close()
    assert len(logged(f"{path} has no inode number", logging.WARNING)) == 1


def test_a_name_that_cannot_be_examined_is_warned_of_and_no_alarm(make, path, every_write, logged, monkeypatch):
    store = make()

    def refused(name):
        raise PermissionError(13, "Permission denied", name)

    with monkeypatch.context() as patched:
        patched.setattr("store.identity.os.lstat", refused)
        store.record_system_metric("m", 1)
        store.record_system_metric("m", 2)
    store.close()
    assert len(logged(f"{path} cannot be examined: Permission denied", logging.WARNING)) == 1


def test_a_store_that_nobody_closes_retires_itself_only_when_replaced(make, path, logged):
    for replaced in (False, True):
        store = StateManager(path)
        store.initialize_database()
        store.record_system_metric("m", 1)
        if replaced:
            beside(path, "-wal").unlink()
        del store
        gc.collect()
        assert len(logged("the files of", logging.ERROR)) == replaced
    assert len(saved(path)) == 2


def test_memory_has_no_files(make):
    store = make(":memory:")
    for number in range(2 * OpenFiles.WRITES_MAX):
        store.record_system_metric("m", number)
    store.close()
