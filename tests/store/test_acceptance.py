"""The four checks that the store's design names, on real files."""

import logging
import threading
import time


def test_a_loop_reports_rounds_and_one_aggregate(make, logged):
    store = make()
    store.start_wal_checkpoint_loop(0.1)
    deadline = time.monotonic() + 20
    while len(logged("wal_checkpoint", logging.INFO)) < 2 and time.monotonic() < deadline:
        store.record_system_metric("m", 1.0)
        time.sleep(0.02)
    store.close()
    rounds = [r for r in logged("wal_checkpoint", logging.INFO) if getattr(r, "mode", "") == "PASSIVE"]
    assert len(rounds) >= 2
    for record in rounds:
        assert record.getMessage() == "wal_checkpoint"
        assert isinstance(record.elapsed_ms, float)
        assert record.elapsed_ms == round(record.elapsed_ms, 1) >= 0
        assert (record.busy, record.log_frames - record.checkpointed) == (0, 0)
    (total,) = logged("wal_checkpoint aggregate", logging.INFO)
    assert total.n == len(rounds)
    assert 0 <= total.p50 <= total.p95 <= total.max == max(r.elapsed_ms for r in rounds)


def test_200_metrics_under_a_fast_loop_all_arrive(make, path, query):
    store = make()
    store.start_wal_checkpoint_loop(0.05)
    for i in range(200):
        store.record_system_metric("m", i, key=f"k{i}")
    store.close()
    assert query(path, "PRAGMA quick_check") == [("ok",)]
    assert query(path, "SELECT count(*), count(DISTINCT metric_key) FROM system_metrics") == [(200, 200)]


def test_1000_concurrent_fills_under_a_loop_lose_none(make, path, query, logged):
    store = make()
    session = store.create_session()
    store.start_wal_checkpoint_loop(0.1)
    failures: list[BaseException] = []

    def trade(lane: int) -> None:
        try:
            for i in range(125):
                store.record_fill(f"{lane}-{i}", session_id=session, side="buy", price="1.5", quantity=i + 1)
                time.sleep(0.001)  # so that several checkpoints fall between the inserts
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=trade, args=(lane,)) for lane in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    store.close()
    assert failures == []
    assert query(path, "SELECT count(*), count(DISTINCT fill_id) FROM fills") == [(1000, 1000)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert logged("wal_checkpoint failed") == []


def test_close_leaves_no_wal_even_with_an_idle_second_connection(make, path, wal):
    # Without the second connection SQLite itself removes the WAL at the last close.
    import sqlite3

    store = make()
    idle = sqlite3.connect(path, isolation_level=None)
    try:
        idle.execute("SELECT count(*) FROM system_metrics").fetchall()
        store.record_system_metric("m", 1)
        assert wal.stat().st_size > 0
        store.close()
        assert wal.stat().st_size == 0
    finally:
        idle.close()
    assert not wal.exists()
