"""One connection for several threads: transactions, reads and checkpoints do not mix."""
# ruff: noqa: PT012 - the exception under test leaves a transaction block of several statements

import sqlite3
import threading
import time
from contextlib import nullcontext

import pytest

from store import StateManager, StoreClosed, StoreError


def intercepting(before):
    """A connect() that calls `before(sql)` ahead of every statement."""

    class Cursor(sqlite3.Cursor):
        def execute(self, sql, *args):
            before(sql)
            return super().execute(sql, *args)

    class Connection(sqlite3.Connection):
        def cursor(self, factory=Cursor):
            return super().cursor(factory)

        def execute(self, sql, *args):
            return self.cursor().execute(sql, *args)

    return lambda *args, **options: sqlite3.connect(*args, factory=Connection, **options)


def test_a_transaction_commits_all_or_nothing(store):
    with pytest.raises(RuntimeError, match="half way"), store.transaction():
        store.record_system_metric("m", 1)
        raise RuntimeError("half way")
    assert store.count_system_metrics() == 0
    with store.transaction():
        store.record_system_metric("m", 1)
        with store.transaction():  # joins
            store.set_engine_state("a", "1")
    assert (store.count_system_metrics(), store.get_engine_state("a")) == (1, "1")


def test_another_thread_waits_for_the_whole_transaction(store):
    inside, seen = threading.Event(), []

    def other() -> None:
        inside.wait(5)
        seen.append(store.count_system_metrics())
        store.set_engine_state("other", "1")

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(RuntimeError), store.transaction():
        store.record_system_metric("m", 1)
        inside.set()
        time.sleep(0.1)
        assert seen == []
        raise RuntimeError("roll back")
    thread.join(5)
    assert seen == [0]
    assert store.get_engine_state("other") == "1"  # was not swept away by the other's rollback


def test_a_swallowed_automatic_rollback_does_not_commit_the_rest(store):
    with pytest.raises(StoreError, match="rolled this transaction back"), store.transaction():
        store.record_system_metric("m", 1)
        store._connection.execute("ROLLBACK")  # what SQLite does by itself when the disk is full
        store.record_system_metric("m", 2)
    assert store.count_system_metrics() == 0


def test_a_write_from_inside_another_write_is_refused_and_harms_nothing(store):
    # What a signal handler does when it interrupts record_system_metric between BEGIN and COMMIT.
    store._connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="in the middle of another write"):
        store.set_engine_state("halt", "1")
    store._connection.execute("COMMIT")
    store.set_engine_state("halt", "1")


def test_a_close_from_a_signal_handler_in_the_middle_of_a_write(make, path, query, logged):
    def before(sql: str) -> None:
        if sql.startswith("INSERT INTO system_metrics"):
            store.close()  # where a handler runs: after BEGIN returned, before the INSERT

    store = make(connect=intercepting(before))
    store.set_engine_state("a", "1")
    with pytest.raises(StoreClosed, match="is closed"):
        store.record_system_metric("m", 1)
    assert len(logged("close() inside an open transaction")) == 1
    assert not [record for record in logged("") if record.levelname == "ERROR"]
    assert query(path, "SELECT count(*) FROM system_metrics") == [(0,)]
    assert query(path, "SELECT value FROM engine_state") == [("1",)]


def test_a_failed_write_leaves_no_transaction_open(make):
    broken = False

    def before(sql: str) -> None:
        if broken and sql == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")

    store = make(connect=intercepting(before))
    broken = True
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        store.record_system_metric("m", 1)
    with pytest.raises(sqlite3.OperationalError, match="disk is full"), store.transaction():
        store.record_system_metric("m", 2)
    broken = False
    store.record_system_metric("m", 3)
    assert [m.value for m in store.system_metrics()] == [3]


class Unlocked(StateManager):
    """Broken: the checkpoint does not take the lock."""

    def _checkpoint_guard(self):
        return nullcontext(True)


@pytest.mark.parametrize(("cls", "errors"), [(StateManager, 0), (Unlocked, 1)])
def test_a_checkpoint_during_a_transaction_waits_only_with_the_lock(make, logged, cls, errors):
    rounds = threading.Semaphore(0)

    def wait(stop: threading.Event, seconds: float) -> bool:
        while not stop.is_set():
            if rounds.acquire(timeout=0.01):
                return False
        return True

    store = make(cls=cls, wait=wait)
    store.start_wal_checkpoint_loop(1)
    with store.transaction():
        store.record_system_metric("m", 1)
        rounds.release()
        deadline = time.monotonic() + (10 if errors else 0.3)
        while time.monotonic() < deadline and not logged("wal_checkpoint failed"):
            time.sleep(0.01)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not logged("wal_checkpoint"):
        time.sleep(0.01)
    failed = logged("wal_checkpoint failed")
    assert len(failed) == errors
    if errors:
        assert "database table is locked" in str(failed[0].exc_info[1])


def test_reads_leave_no_cursor_that_blocks_a_checkpoint(store, logged):
    for i in range(300):
        store.record_system_metric("m", i)
    store.system_metrics(limit=1)
    store.close()
    (last,) = logged("wal_checkpoint")
    assert (last.mode, last.busy) == ("TRUNCATE", 0)


def test_use_before_opening_and_after_closing_is_refused(path):
    store = StateManager(path)
    uses = [
        lambda: store.record_system_metric("m", 1),
        lambda: store.record_fill("f", session_id=1, side="buy", price=1, quantity=1),
        store.create_session,
        lambda: store.close_session(1),
        store.sessions,
        lambda: store.get_engine_state("a"),
        lambda: store.set_engine_state("a", "b"),
        lambda: store.start_wal_checkpoint_loop(1),
        lambda: store.start_wal_checkpoint_loop(0),
        store.backup,
        lambda: store.transaction().__enter__(),
    ]
    for use in uses:
        with pytest.raises(StoreClosed, match=r"call initialize_database\(\) first"):
            use()
    assert not path.exists()
    store.initialize_database()
    store.initialize_database()
    store.close()
    store.close()
    for use in [*uses, store.initialize_database]:
        with pytest.raises(StoreClosed, match="is closed"):
            use()


def test_two_processes_worth_of_stores_can_start_on_one_new_file(make, path):
    errors, gate = [], threading.Barrier(6)

    def start() -> None:
        store = StateManager(path)
        try:
            gate.wait(10)
            store.initialize_database()
            store.record_system_metric("m", 1)
        except Exception as error:
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert make().count_system_metrics() == 6


def test_connection_is_set_up_as_promised(store, path):
    pragmas = {
        name: store._read(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "foreign_keys", "wal_autocheckpoint")
    }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "wal_autocheckpoint": 1000}
    assert store._connection.isolation_level is None
    assert store.path == path


def test_memory_works_everywhere(make, logged):
    store = make(":memory:")
    session = store.create_session()
    store.record_fill("f", session_id=session, side="sell", price="1.0", quantity=2)
    store.record_system_metric("m", 1)
    store.start_wal_checkpoint_loop(0.01)
    assert logged("wal_checkpoint disabled")
    assert store.backup() is None
    assert store.path is None
    assert store.newest_good_backup() is None
    assert store.count_fills() == 1
    assert not [t for t in threading.enumerate() if t.name == "wal-checkpoint"]
    store.close()
    store.close()
    with pytest.raises(StoreClosed, match=":memory: is closed"):
        store.count_fills()


class Interrupted(BaseException):
    """What a signal handler raises, wherever it is."""


@pytest.mark.parametrize("act", ["get_engine_state", "record_order_fill"])
def test_a_signal_handler_that_raises_in_the_middle_of_a_read_does_not_fail_the_last_checkpoint(
    make, path, logged, act
):
    class Interrupting(sqlite3.Cursor):
        now = False

        def fetchall(self):
            self.interrupt()
            return super().fetchall()

        def fetchone(self):
            self.interrupt()
            return super().fetchone()

        def interrupt(self):
            if Interrupting.now:
                Interrupting.now = False
                raise Interrupted

    class Connection(sqlite3.Connection):
        def cursor(self, factory=Interrupting):
            return super().cursor(factory)

    store = make(connect=lambda *args, **options: sqlite3.connect(*args, **options, factory=Connection))
    session = store.start_session()
    store.submit_order("o", session_id=session, side="buy", price="0.5", quantity="10")
    store.set_engine_state("a", "1")
    Interrupting.now = True
    try:
        if act == "get_engine_state":
            store.get_engine_state("a")
        else:
            store.record_order_fill("f", order_id="o", session_id=session, price="0.5", quantity="1")
    except Interrupted:
        store.close()  # here the traceback holds the frames of the read
    else:
        pytest.fail("the read was not interrupted")
    assert not [record for record in logged("") if record.levelname == "ERROR"]
    assert not path.with_name(path.name + "-wal").exists()


@pytest.mark.parametrize("inside", [False, True])
def test_an_error_that_the_program_keeps_does_not_keep_the_connection_open(make, path, inside):
    store = make()
    session = store.start_session()
    with store.transaction() if inside else nullcontext(), pytest.raises(sqlite3.IntegrityError) as kept:
        store._write("INSERT INTO sessions (session_id, started_at) VALUES (?, 0)", (session,))
    with sqlite3.connect(path) as reader:  # so that only the last close could remove the WAL
        reader.execute("SELECT count(*) FROM sessions").fetchall()
    reader.close()
    store.close()
    assert not path.with_name(path.name + "-wal").exists()
    assert kept.value
