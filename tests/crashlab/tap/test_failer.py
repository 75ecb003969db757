"""Every kind of I/O error reaches the program as an exception of sqlite3, once or from then on."""

import sqlite3

import pytest

from crashlab.errors import UsageError
from crashlab.log.trace import TraceKind
from crashlab.sqlite.tap import Counter, Failer, Failure, Operation, Selector, Tap


def insert(connection, count=1):
    for _ in range(count):
        connection.execute("INSERT INTO t VALUES(randomblob(3000))")


def opened(tap_tools, tmp_path, mode="wal"):
    connection = tap_tools.connect(tmp_path / "a.db", mode)
    connection.execute("CREATE TABLE t(v)")
    insert(connection)
    return connection


FAULTS = [
    ("wal", "wal.write", Failure.EIO, "disk I/O error", "SQLITE_IOERR_WRITE"),
    ("wal", "wal.write", Failure.ENOSPC, "database or disk is full", "SQLITE_FULL"),
    ("wal", "wal.write", Failure.SHORT_WRITE, "database or disk is full", "SQLITE_FULL"),
    ("wal", "wal.sync", Failure.FSYNC, "disk I/O error", "SQLITE_IOERR_FSYNC"),
    ("wal", "wal.sync", Failure.EIO, "disk I/O error", "SQLITE_IOERR_FSYNC"),
    ("delete", "journal.open", Failure.ENOSPC, "unable to open database file", "SQLITE_CANTOPEN"),
    ("delete", "journal.sync", Failure.FSYNC, "disk I/O error", "SQLITE_IOERR_FSYNC"),
    ("delete", "main.write", Failure.EIO, "disk I/O error", "SQLITE_IOERR_WRITE"),
    ("delete", "any.delete", Failure.EIO, "disk I/O error", "SQLITE_IOERR_DELETE"),
    ("truncate", "journal.truncate", Failure.EIO, "disk I/O error", "SQLITE_IOERR_TRUNCATE"),
    ("wal", "shm.lock", Failure.EIO, "disk I/O error", "SQLITE_IOERR_SHMLOCK"),
    ("delete", "main.lock", Failure.EIO, "disk I/O error", "SQLITE_IOERR_LOCK"),
]


@pytest.mark.parametrize(("mode", "text", "failure", "message", "name"), FAULTS)
@pytest.mark.parametrize("persistent", [False, True])
def test_an_error_surfaces(tmp_path, tap_tools, mode, text, failure, message, name, persistent):
    notes = []
    failer = Failer(Selector.parse(text), failure, persistent=persistent, on_fire=notes.append)
    failer.trip.enabled = False
    with Tap(failer):
        connection = opened(tap_tools, tmp_path, mode)
        failer.trip.seen = 0
        failer.trip.enabled = True
        with pytest.raises(sqlite3.OperationalError, match=message) as caught:
            insert(connection)
        assert caught.value.sqlite_errorname == name
        if persistent:
            with pytest.raises(sqlite3.OperationalError):
                insert(connection)
            failer.clear()
        insert(connection)  # the disk is well again
        rows = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        connection.close()
    assert len(notes) == failer.trip.fired
    assert failer.trip.fired >= 2 if persistent else failer.trip.fired == 1
    assert all(note.startswith(str(failure)) for note in notes)
    again = sqlite3.connect(tmp_path / "a.db")
    assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert again.execute("SELECT count(*) FROM t").fetchone()[0] == rows
    again.close()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_without_a_fault_nothing_fails(tmp_path, tap_tools, mode):
    failers = [Failer(Selector.parse(text + "#100000"), failure) for _, text, failure, _, _ in FAULTS]
    with Tap(*failers):
        connection = opened(tap_tools, tmp_path, mode)
        insert(connection, 5)
        connection.close()
    assert not any(failer.trip.fired for failer in failers)


def test_a_read_fails(tmp_path, tap_tools):
    opened(tap_tools, tmp_path, "delete").close()
    failer = Failer(Selector.parse("main.read#2"), Failure.READ)
    with Tap(failer):
        connection = sqlite3.connect(tmp_path / "a.db")
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error") as caught:
            connection.execute("SELECT sum(length(v)) FROM t").fetchall()
        connection.close()
    assert caught.value.sqlite_errorname == "SQLITE_IOERR_READ"
    assert failer.trip.fired == 1


def test_a_short_write_arrives_in_part_and_is_recorded_so(run, tap_tools):
    def body(directory):
        connection = tap_tools.connect(directory / "a.db")
        connection.execute("CREATE TABLE t(v)")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            insert(connection, 9)

    failer = Failer(Selector.parse("wal.write#9"), Failure.SHORT_WRITE, written_bytes=5)
    recorded = run("r", body, failer)
    assert recorded.clean
    assert tap_tools.replay(recorded.ops) == recorded.disk
    assert [len(op.data) for op in recorded.ops if op.kind is TraceKind.WRITE and len(op.data) == 5] == [5]


def test_a_dropped_sync_is_believed_and_is_not_in_the_record(run, tap_tools):
    body = tap_tools.work("wal")
    counter = Counter([Operation.SYNC])

    def syncs(run):
        return sum(op.kind is TraceKind.SYNC and op.path == "a.db" for op in run.ops)

    honest = run("honest", body, counter)
    lying = run("lying", body, Failer(Selector.parse("main.sync"), Failure.DROPPED, persistent=True))
    assert honest.clean
    assert lying.clean
    assert syncs(honest) > 0
    assert syncs(lying) == 0


def test_an_error_while_opening(tmp_path):
    with Tap(Failer(Selector.parse("main.open"), Failure.EIO)):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            sqlite3.connect(tmp_path / "a.db")
        connection = sqlite3.connect(tmp_path / "a.db")
        connection.execute("CREATE TABLE t(v)")
        connection.close()


@pytest.mark.parametrize(
    ("text", "failure", "extra"),
    [
        ("main.read", Failure.FSYNC, {}),
        ("wal.sync", Failure.SHORT_WRITE, {}),
        ("main.close", Failure.EIO, {}),
        ("wal.write.after", Failure.EIO, {}),
        ("wal.write", Failure.EIO, {"written_bytes": 3}),
        ("wal.write", Failure.SHORT_WRITE, {"written_bytes": -3}),
    ],
)
def test_what_cannot_happen_is_refused(text, failure, extra):
    with pytest.raises(UsageError, match=str(failure)):
        Failer(Selector.parse(text), failure, **extra)
