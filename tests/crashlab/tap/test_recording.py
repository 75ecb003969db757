"""What was recorded, replayed, is what is on disk."""

import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from crashlab.errors import LimitError
from crashlab.log.operations import read_trace
from crashlab.log.reader import read_log
from crashlab.log.trace import Role, TraceKind
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Recorder, Tap


def same(run, tap_tools):
    assert run.clean
    assert run.ops
    assert tap_tools.replay(run.ops) == run.disk


@pytest.mark.parametrize("mode", ["wal", "delete", "persist", "truncate", "off", "memory"])
@pytest.mark.parametrize("page_size", [512, 65536])
def test_one_connection(run, tap_tools, mode, page_size):
    same(run("r", tap_tools.work(mode, page_size)), tap_tools)


def test_a_record_that_is_missing_is_noticed(run, tap_tools):
    recorded = run("r", tap_tools.work())
    last = max(i for i, op in enumerate(recorded.ops) if op.kind is TraceKind.WRITE)
    assert tap_tools.replay(recorded.ops[:last] + recorded.ops[last + 1 :]) != recorded.disk


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_three_threads(run, tap_tools, mode):
    def body(directory):
        first = tap_tools.connect(directory / "a.db", mode)
        first.execute("CREATE TABLE t(v)")
        open_ones = [first]

        together = threading.Barrier(3)  # an ended thread's number is given again: all three live to the end

        def lane():
            connection = tap_tools.connect(directory / "a.db", mode)
            open_ones.append(connection)
            for _ in range(40):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO t VALUES(randomblob(200))")
                connection.execute("COMMIT")
            together.wait(30)

        threads = [threading.Thread(target=lane) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert open_ones[0].execute("SELECT count(*) FROM t").fetchone() == (120,)

    recorded = run("r", body)
    same(recorded, tap_tools)
    assert len({op.thread for op in recorded.ops if op.kind is TraceKind.WRITE}) >= 3


def test_two_databases_attach_vacuum_and_a_super_journal(run, tap_tools):
    def body(directory):
        connection = tap_tools.connect(directory / "a.db", "delete")
        connection.execute("ATTACH ? AS b", (str(directory / "b.db"),))
        connection.execute("CREATE TABLE t(v)")
        connection.execute("CREATE TABLE b.u(v)")
        for _ in range(5):
            connection.execute("BEGIN")
            connection.execute("INSERT INTO t VALUES(randomblob(5000))")
            connection.execute("INSERT INTO u VALUES(randomblob(5000))")
            connection.execute("COMMIT")
        connection.execute("DELETE FROM t")
        connection.execute("VACUUM")
        other = tap_tools.connect(directory / "c.db", "wal")
        other.execute("CREATE TABLE w(v)")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM INTO ?", (str(directory / "d.db"),))

    recorded = run("r", body)
    same(recorded, tap_tools)
    assert sorted(recorded.disk) == ["a.db", "b.db", "c.db", "c.db-wal", "d.db"]
    assert {op.role for op in recorded.ops} == {Role.MAIN, Role.JOURNAL, Role.SUPER_JOURNAL, Role.WAL}


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_memory_mapped_files_that_grow_by_a_size_hint(run, tap_tools, mode):
    def body(directory):
        connection = tap_tools.connect(directory / "a.db", mode)
        connection.execute("PRAGMA mmap_size=10000000")
        connection.execute("CREATE TABLE t(v)")
        for _ in range(3):
            connection.execute("INSERT INTO t VALUES(randomblob(50000))")
            connection.execute("SELECT count(*) FROM t").fetchall()
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    recorded = run("r", body)
    same(recorded, tap_tools)
    grown = [op for op in recorded.ops if op.kind is TraceKind.TRUNCATE and op.rc == 0 and op.role is Role.MAIN]
    assert grown, "no size hint grew the file: this test shows nothing here"


def test_a_temporary_file_is_not_recorded(run, tap_tools):
    def body(directory):
        connection = tap_tools.connect(directory / "a.db", "delete")
        connection.execute("PRAGMA temp_store=FILE")
        connection.execute("PRAGMA cache_size=10")
        connection.execute("CREATE TABLE t(v)")
        connection.execute("INSERT INTO t VALUES(1)")
        connection.execute("CREATE TEMP TABLE s AS SELECT randomblob(20000) AS v FROM t, t AS u")
        connection.execute("INSERT INTO s SELECT randomblob(200000)")

    recorded = run("r", body)
    same(recorded, tap_tools)
    assert {op.path for op in recorded.ops} == {"a.db", "a.db-journal"}


def test_names_outside_the_run_are_absolute_and_links_are_followed(tmp_path):
    inside, outside, link = tmp_path / "real", tmp_path / "outside", tmp_path / "link"
    inside.mkdir()
    outside.mkdir()
    link.symlink_to(inside)
    log = LogWriter(str(tmp_path / "log"))
    with Tap(recorder=Recorder(log, link)):
        for path in (link / "a.db", outside / "b.db"):
            connection = sqlite3.connect(path)
            connection.execute("CREATE TABLE t(v)")
            connection.close()
    names = {op.path for op in read_trace(read_log(str(tmp_path / "log"))) if op.role is Role.MAIN}
    assert names == {"a.db", str((outside / "b.db").resolve())}


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no directory sync")
def test_directory_syncs_are_those_of_the_unix_vfs(run, tap_tools):
    def body(directory):
        connection = tap_tools.connect(directory / "a.db", "delete")
        connection.execute("CREATE TABLE t(v)")
        connection.execute("INSERT INTO t VALUES(1)")
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("INSERT INTO t VALUES(2)")

    ops = run("r", body).ops
    syncs = [op.dirsync for op in ops if op.kind is TraceKind.SYNC and op.role is Role.JOURNAL]
    assert syncs == [True, False] * (len(syncs) // 2), "the first sync of each new journal, and no other"
    assert not any(op.dirsync for op in ops if op.role is Role.MAIN)
    deletes = [op.dirsync for op in ops if op.kind is TraceKind.DELETE]
    assert deletes[-1] is True
    assert not any(deletes[:-1])


@pytest.mark.skipif("not sys.platform.startswith('linux')", reason="strace is a Linux tool")
def test_directory_syncs_agree_with_the_system_calls(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    program = (
        "import sqlite3,sys; c=sqlite3.connect(sys.argv[1],isolation_level=None);"
        "c.execute('pragma journal_mode=delete'); c.execute('create table t(v)'); c.execute('insert into t values(1)')"
    )
    out = tmp_path / "strace"
    subprocess.run(
        [
            "strace",
            "-f",
            "-y",
            "-e",
            "trace=fsync,fdatasync",
            "-o",
            str(out),
            sys.executable,
            "-c",
            program,
            str(tmp_path / "x.db"),
        ],
        check=True,
        timeout=60,
    )
    directory = [line for line in out.read_text().splitlines() if f"<{tmp_path.resolve()}>" in line]
    assert len(directory) == 2


def test_marks_of_the_program_stand_in_the_same_order(tmp_path, tap_tools):
    log = LogWriter(str(tmp_path / "log"))
    with Tap(recorder=Recorder(log, tmp_path)):
        connection = tap_tools.connect(tmp_path / "a.db")
        connection.execute("CREATE TABLE t(v)")
        for number in range(3):
            log.begin("lane", number, ())
            connection.execute("INSERT INTO t VALUES(1)")
            log.ack("lane", number, None)
        connection.close()
    kinds = [record.kind for record in read_log(str(tmp_path / "log"))]
    begins = [i for i, kind in enumerate(kinds) if kind == 1]
    acks = [i for i, kind in enumerate(kinds) if kind == 2]
    assert len(begins) == len(acks) == 3
    for begin, ack in zip(begins, acks, strict=True):
        assert kinds[begin + 1 : ack].count(TraceKind.WRITE) == 2
        assert kinds[begin + 1 : ack].count(TraceKind.SYNC) == 1
        assert kinds[ack - 1] == TraceKind.DONE


def test_a_full_log_is_a_limit_error_not_a_silent_gap(tmp_path, tap_tools):
    log = LogWriter(str(tmp_path / "log"), segment_bytes=1 << 14, bytes_max=1 << 16)
    tap = Tap(recorder=Recorder(log, tmp_path))
    tap.install()
    connection = tap_tools.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE t(v)")
    rows = [("v" * 3000,)] * 100
    with pytest.raises(sqlite3.OperationalError):
        connection.executemany("INSERT INTO t VALUES(?)", rows)
    with pytest.raises(LimitError, match="are full"):
        tap.uninstall()
    connection.close()
