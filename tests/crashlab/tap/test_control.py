"""The tap changes nothing: seeded runs with and without it leave the same bytes, salts included."""

import sqlite3

import pytest

from crashlab.sqlite.tap import Counter, Operation, Seed, Tap


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_tapped_and_untapped_runs_leave_the_same_bytes(run, tap_tools, mode, page_size):
    body = tap_tools.work(mode, page_size)
    # A seed alone replaces xRandomness and nothing else: no file passes through the tap.
    bare = run("bare", body, Seed(7), recorded=False)
    recorded = run("recorded", body, Seed(7))
    counter = Counter()
    everything = run("everything", body, counter, Seed(7), Counter())
    assert bare.clean
    assert recorded.clean
    assert everything.clean
    assert bare.disk == recorded.disk == everything.disk
    assert sorted(bare.disk) == (["a.db", "a.db-wal"] if mode == "wal" else ["a.db"])
    assert len(bare.disk["a.db"]) % page_size == 0
    assert recorded.ops
    other = run("other", body, Seed(8))
    assert other.disk != bare.disk, "two seeds, one result: the comparison can see nothing"


def test_a_run_without_any_tap_leaves_the_same_main_file(run, tap_tools, tmp_path):
    def body(directory):
        connection = tap_tools.connect(directory / "a.db", "delete")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        for number in range(20):
            connection.execute("INSERT INTO t VALUES(?, hex(zeroblob(400)))", (number,))
        connection.execute("VACUUM")

    bare = tmp_path / "none"
    bare.mkdir()
    assert tap_tools.run_in_child(lambda: body(bare)) == 0
    assert run("tapped", body, Counter()).disk == tap_tools.disk(bare)


def test_the_same_seed_twice_gives_the_same_bytes_and_the_same_trace(run, tap_tools):
    first, second = (run(name, tap_tools.work(), Seed(3)) for name in ("first", "second"))
    assert first.disk == second.disk
    assert first.disk["a.db-wal"][16:24] != bytes(8)
    what = [[(op.kind, op.path, op.offset, op.data, op.flags, op.dirsync) for op in r.ops] for r in (first, second)]
    assert what[0] == what[1]


def test_seeded_children_of_one_process_differ_from_each_other_and_repeat(tmp_path, tap_tools):
    def blobs(name):
        found = []
        with Tap(Seed(5)):
            for number in range(3):
                target = tmp_path / f"{name}{number}"

                def child(target=target):
                    connection = sqlite3.connect(":memory:")
                    target.write_text(connection.execute("SELECT hex(randomblob(16))").fetchone()[0])
                    connection.close()

                if number == 0:
                    child()
                else:
                    assert tap_tools.run_in_child(child) == 0
                found.append(target.read_text())
        return found

    first, second = blobs("first"), blobs("second")
    assert first == second
    assert len(set(first)) == 3


def test_after_a_seed_was_taken_away_sqlite_is_random_again():
    def draw():
        connection = sqlite3.connect(":memory:")
        value = connection.execute("SELECT hex(randomblob(16))").fetchone()[0]
        connection.close()
        return value

    with Tap(Seed(1)):
        seeded = draw()
    outside = {draw() for _ in range(3)}
    with Tap(Seed(1)):
        assert draw() == seeded
    assert len(outside | {seeded}) == 4


def test_all_operations_of_a_session_are_heard(tmp_path, tap_tools):
    counter = Counter()
    with Tap(counter, Seed(1)):
        connection = tap_tools.work("delete")(tmp_path)
        connection.execute("PRAGMA mmap_size=1000000")
        connection.execute("SELECT sum(length(v)) FROM t").fetchall()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO t VALUES(900, 1)")
        connection.close()
    # SQLite sleeps only when it has to wait for another.
    assert {operation for _, operation in counter.counts} >= set(Operation) - {
        Operation.SLEEP,
        Operation.RANDOMNESS,
        Operation.SECTOR_SIZE,
        Operation.CHECK_RESERVED_LOCK,
    }
