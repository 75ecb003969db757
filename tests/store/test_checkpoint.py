"""The periodic loop and the final checkpoint of close()."""
# ruff: noqa: PT012 - the exception under test leaves a transaction block of several statements

import logging
import queue
import sqlite3
import threading
import time

import pytest

from store import StateManager, StoreValidation
from store.checkpoint import aggregate


class Rounds:
    """A wait that lets the loop run one round at a time, when the test says so."""

    def __init__(self) -> None:
        self.orders: queue.Queue[bool] = queue.Queue()
        self.waiting = threading.Semaphore(0)
        self.asked: list[float] = []

    def __call__(self, stop: threading.Event, seconds: float) -> bool:
        self.asked.append(seconds)
        self.waiting.release()
        while not stop.is_set():
            try:
                return self.orders.get(timeout=0.01)
            except queue.Empty:
                continue
        return True

    def run(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.waiting.acquire(timeout=10)
            self.orders.put(False)
        assert self.waiting.acquire(timeout=10)  # the last round is over
        self.waiting.release()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wal-checkpoint"]


@pytest.fixture(autouse=True)
def _no_thread_left():
    yield
    assert threads() == []


def test_neither_constructor_nor_initialize_starts_a_thread(make, logged):
    store = make()
    assert threads() == []
    store.close()
    assert logged("wal_checkpoint aggregate") == []


@pytest.mark.parametrize("interval", [0, 0.0, -1, -0.5])
def test_no_interval_disables_and_says_so(store, logged, interval):
    store.start_wal_checkpoint_loop(interval)
    (record,) = logged("wal_checkpoint disabled", logging.INFO)
    assert record.name == "store.checkpoint"
    assert threads() == []
    store.close()


@pytest.mark.parametrize("interval", [float("nan"), float("inf"), "1", None, True, 1e300, 10**400])
def test_an_interval_that_is_no_number_of_seconds_is_refused(store, interval):
    with pytest.raises(StoreValidation, match="interval_s"):
        store.start_wal_checkpoint_loop(interval)
    assert threads() == []


def test_the_thread_is_a_named_daemon_and_a_second_start_only_warns(make, logged):
    rounds = Rounds()
    store = make(wait=rounds)
    store.start_wal_checkpoint_loop(60)
    (thread,) = threads()
    assert thread.daemon
    store.start_wal_checkpoint_loop(0.01)
    assert threads() == [thread]
    assert len(logged("wal_checkpoint loop is already running", logging.WARNING)) == 1
    store.close()
    assert set(rounds.asked) == {60.0}


def test_rounds_are_passive_and_carry_sqlites_row(make, logged):
    rounds = Rounds()
    store = make(wait=rounds)
    store.start_wal_checkpoint_loop(1)
    store.record_system_metric("m", 1)
    rounds.run()
    (record,) = logged("wal_checkpoint", logging.INFO)
    assert (record.mode, record.busy, record.name) == ("PASSIVE", 0, "store.checkpoint")
    assert record.log_frames == record.checkpointed > 0
    assert isinstance(record.elapsed_ms, float)


def test_an_error_is_logged_with_traceback_and_the_loop_goes_on(make, logged):
    rounds = Rounds()
    store = make(wait=rounds)
    checkpoint, store._checkpoint = store._checkpoint, None  # every round raises TypeError
    store.start_wal_checkpoint_loop(1)
    rounds.run(2)
    failed = logged("wal_checkpoint failed", logging.ERROR)
    assert len(failed) == 2
    assert failed[0].exc_info[0] is TypeError
    store._checkpoint = checkpoint
    rounds.run()
    assert len([r for r in logged("wal_checkpoint", logging.INFO) if r.getMessage() == "wal_checkpoint"]) == 1
    store.close()
    assert logged("wal_checkpoint aggregate")[0].n == 1


def test_a_failing_wait_ends_the_loop_audibly(make, logged):
    def wait(stop: threading.Event, seconds: float) -> bool:
        raise OSError("no clock")

    store = make(wait=wait)
    store.start_wal_checkpoint_loop(1)
    store.close()
    assert len(logged("wal_checkpoint loop ended", logging.ERROR)) == 1


def test_a_pinned_reader_makes_passive_report_success_and_the_loop_complain(make, pinned, logged):
    rounds = Rounds()
    store = make(wait=rounds)
    store.start_wal_checkpoint_loop(1)
    reader = pinned()
    for i in range(20):
        store.record_system_metric("m", i)
    rounds.run(2)
    seen = logged("wal_checkpoint", logging.INFO)
    assert all(r.busy == 0 and r.checkpointed < r.log_frames for r in seen)  # busy == 0 is not "done"
    assert logged("wal_checkpoint incomplete") == []
    rounds.run()
    (warning,) = logged("wal_checkpoint incomplete", logging.WARNING)
    assert warning.backlog_frames == seen[-1].log_frames - seen[-1].checkpointed > 0
    assert warning.rounds == 3
    reader.close()
    rounds.run(4)
    assert len(logged("wal_checkpoint incomplete")) == 1
    assert (
        logged("wal_checkpoint", logging.INFO)[-1].checkpointed == logged("wal_checkpoint", logging.INFO)[-1].log_frames
    )


def test_the_aggregate_covers_the_last_512_samples(make, logged):
    store = make(wait=Rounds())
    store.start_wal_checkpoint_loop(1)
    store._samples.extend([1000.0] * 100)
    store._samples.extend(float(i) for i in range(1, 513))
    store.close()
    (total,) = logged("wal_checkpoint aggregate", logging.INFO)
    assert (total.n, total.p50, total.p95, total.max) == (512, 256.0, 487.0, 512.0)


def test_aggregate_of_few_samples():
    assert aggregate([]) == {"n": 0, "p50": None, "p95": None, "max": None}
    assert aggregate([7.0]) == {"n": 1, "p50": 7.0, "p95": 7.0, "max": 7.0}
    assert aggregate([3.0, 1.0, 2.0, 4.0]) == {"n": 4, "p50": 2.0, "p95": 4.0, "max": 4.0}


def test_truncate_under_a_reader_is_busy_warns_and_still_closes_within_its_wait(make, pinned, logged, wal):
    store = make()
    pinned()
    store.record_system_metric("m", 1)
    start = time.monotonic()
    store.close()
    took = time.monotonic() - start
    assert 0.9 <= took < 5
    (warning,) = logged("wal_checkpoint at close was blocked", logging.WARNING)
    assert (warning.mode, warning.busy) == ("TRUNCATE", 1)
    assert warning.backlog_frames == warning.log_frames - warning.checkpointed > 0
    assert wal.stat().st_size > 0
    assert not store.is_open


def test_truncate_waits_for_a_reader_that_leaves_in_time(make, pinned, logged, wal):
    store = make()
    reader = pinned()
    store.record_system_metric("m", 1)
    timer = threading.Timer(0.3, reader.close)
    timer.start()
    store.close()
    timer.join()
    assert logged("wal_checkpoint at close was blocked") == []
    assert not wal.exists() or wal.stat().st_size == 0


class Leaking(StateManager):
    """Broken: an error of TRUNCATE skips the close of the connection."""

    def _finish(self, connection):
        try:
            self._final_checkpoint(connection)
            connection.close()
        except sqlite3.Error:
            logging.getLogger("store.manager").exception("wal_checkpoint at close failed")


@pytest.mark.parametrize(("cls", "leaks"), [(StateManager, False), (Leaking, True)])
def test_an_error_of_truncate_is_logged_and_the_connection_closed(make, logged, cls, leaks):
    store = make(cls=cls)
    connection = store._connection

    def fail(connection, mode):
        raise sqlite3.OperationalError("disk I/O error")

    store._checkpoint = fail
    store.close()
    (record,) = logged("wal_checkpoint at close failed", logging.ERROR)
    assert record.exc_info[0] is sqlite3.OperationalError
    if leaks:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
        connection.close()
    else:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_close_does_not_wait_for_ever_for_a_thread_that_hangs(make, logged):
    class Impatient(StateManager):
        JOIN_S = 0.2

    release = threading.Event()
    store = make(cls=Impatient, wait=lambda stop, seconds: release.wait(20))
    store.start_wal_checkpoint_loop(0.01)
    (thread,) = threads()
    store.close()
    assert len(logged("wal_checkpoint thread did not stop", logging.WARNING)) == 1
    assert StateManager.JOIN_S == 5.0
    release.set()
    thread.join(5)
    assert logged("wal_checkpoint failed") == []


def test_close_inside_an_own_transaction_rolls_back_and_needs_no_join_timeout(make, path, query, logged):
    # A signal handler that calls close() while this thread is in a transaction and holds the lock.
    rounds = Rounds()
    store = make(wait=rounds)
    store.start_wal_checkpoint_loop(1)
    start = time.monotonic()
    with pytest.raises(Exception, match="is closed"), store.transaction():
        store.record_system_metric("m", 1)
        rounds.orders.put(False)  # the loop now wants the lock
        time.sleep(0.1)
        store.close()
    assert time.monotonic() - start < 4
    assert len(logged("close() inside an open transaction", logging.WARNING)) == 1
    assert logged("rollback failed") == []
    assert query(path, "SELECT count(*) FROM system_metrics") == [(0,)]


def test_close_waits_for_another_threads_transaction(make, path, query):
    store = make()
    inside, errors = threading.Event(), []

    def write() -> None:
        try:
            with store.transaction():
                store.record_system_metric("m", 1)
                inside.set()
                time.sleep(0.2)
                store.record_system_metric("m", 2)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(5)
    store.close()
    thread.join(5)
    assert errors == []
    assert query(path, "SELECT count(*) FROM system_metrics") == [(2,)]


class DiesSilently(StateManager):
    """Broken: the first error ends the loop without a word."""

    def _on_round_error(self, error):
        self._stop.set()


class TruncatesPeriodically(StateManager):
    """Broken: TRUNCATE on the periodic path."""

    PERIODIC_MODE = "TRUNCATE"


class ClosesWithoutTruncate(StateManager):
    """Broken: relies on SQLite to tidy up at the last close."""

    def _final_checkpoint(self, connection):
        pass


class SwallowsBusy(StateManager):
    """Broken: takes no exception for success."""

    def _report_final_checkpoint(self, done):
        pass


def test_each_broken_twin_needs_one_small_override(make, tmp_path, logged, caplog):
    """The lab plants these; here: the override has the effect, and the good store has not."""

    def loop_survives(cls) -> bool:
        rounds = Rounds()
        store = make(tmp_path / f"{cls.__name__}-loop.db", cls, wait=rounds)
        checkpoint, store._checkpoint = store._checkpoint, None
        store.start_wal_checkpoint_loop(1)
        rounds.run()
        store._checkpoint = checkpoint
        alive = not store._stop.is_set()
        store.close()
        return alive

    def periodic_mode(cls) -> str:
        rounds = Rounds()
        caplog.clear()
        store = make(tmp_path / f"{cls.__name__}-mode.db", cls, wait=rounds)
        store.start_wal_checkpoint_loop(1)
        rounds.run()
        mode = logged("wal_checkpoint", logging.INFO)[0].mode
        store.close()
        return mode

    def wal_bytes_and_warnings_after_close(cls, reading: bool) -> tuple[bool, int]:
        caplog.clear()
        path = tmp_path / f"{cls.__name__}-{reading}.db"
        store = make(path, cls)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM fills").fetchall()
        if not reading:
            other.execute("COMMIT")
        store.record_system_metric("m", 1)
        store.close()
        left = path.with_name(path.name + "-wal").stat().st_size > 0
        other.close()
        return left, len(logged("wal_checkpoint at close", logging.WARNING))

    assert (loop_survives(StateManager), loop_survives(DiesSilently)) == (True, False)
    assert (periodic_mode(StateManager), periodic_mode(TruncatesPeriodically)) == ("PASSIVE", "TRUNCATE")
    assert wal_bytes_and_warnings_after_close(StateManager, reading=False) == (False, 0)
    assert wal_bytes_and_warnings_after_close(ClosesWithoutTruncate, reading=False) == (True, 0)
    assert wal_bytes_and_warnings_after_close(StateManager, reading=True) == (True, 1)
    assert wal_bytes_and_warnings_after_close(SwallowsBusy, reading=True) == (True, 0)


def test_the_context_manager_opens_and_closes(path, query):
    with StateManager(path) as store:
        store.record_system_metric("m", 1)
    assert not store.is_open
    assert query(path, "SELECT count(*) FROM system_metrics") == [(1,)]
