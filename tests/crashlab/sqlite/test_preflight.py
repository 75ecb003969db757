import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from crashlab.errors import LimitError, UsageError
from crashlab.sqlite.preflight import preflight


def run(code, *arguments):
    """A program of its own, which may die as it likes."""
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=False, timeout=60)


WRITE = """
import os, sqlite3, sys
path, mode, end = sys.argv[1:]
c = sqlite3.connect(path, isolation_level=None)
c.execute("pragma journal_mode=" + mode)
c.execute("create table t(a integer primary key, b)")
for i in range(30):
    c.execute("insert into t(b) values(?)", ("x" * 200,))
if end == "spill":
    c.execute("pragma cache_size=2")
    c.execute("begin")
    for i in range(500):
        c.execute("insert into t(b) values(?)", ("y" * 200,))
if end == "close":
    c.close()
os._exit(0)
"""


@pytest.fixture
def made(tmp_path):
    """make(mode, end) -> path of a database left by a program that closed, died, or died in a transaction."""

    def make(mode="wal", end="close"):
        path = tmp_path / "db dir #1?" / "the?base%20#.db"
        path.parent.mkdir()
        run(WRITE, path, mode, end)
        return path

    return make


def everything(path):
    return {
        file.name: (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in path.parent.iterdir()
    }


def without_shm(files):
    return {name: facts for name, facts in files.items() if not name.endswith("-shm")}


@pytest.fixture
def scratch(tmp_path):
    """A scratch directory that must be empty at the end."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    yield directory
    assert os.listdir(directory) == []


@pytest.mark.parametrize(("mode", "method"), [("wal", "copy"), ("delete", "backup"), ("persist", "backup")])
def test_a_closed_database_stays_as_it_is_and_gets_no_new_file(made, scratch, mode, method):
    path = made(mode)
    before = everything(path)
    report = preflight(path, scratch=scratch)
    assert everything(path) == before
    assert report.sound
    assert report.untouched
    assert report.method == method
    assert report.header.wal_mode is (mode == "wal")
    assert report.sizes[path.name] == path.stat().st_size
    assert report.wal is None
    assert report.hot_journal == ""


@pytest.mark.parametrize("shm", [True, False])
def test_a_crashed_wal_database_is_checked_whole_and_not_recovered(made, scratch, shm):
    path = made("wal", "die")
    if not shm:
        Path(f"{path}-shm").unlink()
    before = everything(path)
    report = preflight(path, scratch=scratch)
    after = everything(path)
    assert without_shm(after) == without_shm(before)
    assert set(after) == set(before)
    assert report.sound
    assert report.untouched
    assert report.method == ("backup" if shm else "copy")
    assert report.wal.commits == 31
    assert report.wal.committed == (report.wal.size - 32) // 4120
    assert report.wal.end == "end of file"
    assert report.header.size_pages > report.main_pages  # the copy has what only the WAL held


def test_a_deleted_wal_is_not_made_anew(made, scratch):
    path = made("wal", "die")
    Path(f"{path}-wal").unlink()
    before = everything(path)
    report = preflight(path, scratch=scratch)
    assert everything(path) == before
    assert report.method == "copy"
    assert report.untouched


@pytest.mark.parametrize("mode", ["delete", "persist"])
def test_a_hot_journal_is_reported_and_nothing_is_opened(made, scratch, mode):
    path = made(mode, "spill")
    before = everything(path)
    assert f"{path.name}-journal" in before
    report = preflight(path, scratch=scratch)
    assert everything(path) == before
    assert report.method == "none"
    assert not report.checked
    assert not report.sound
    assert "valid header" in report.hot_journal
    assert "keep main and journal together" in " ".join(report.notes)
    with closing(sqlite3.connect(path)) as connection:  # the rollback is still to be had
        assert connection.execute("select count(*) from t").fetchone() == (30,)


def test_a_live_wal_database_is_read_from_its_snapshot(made, scratch):
    path = made("wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as live:
        live.execute("insert into t(b) values('in the WAL')")
        live.execute("begin immediate")
        live.execute("insert into t(b) values('not committed')")
        main, wal = path.stat(), os.stat(f"{path}-wal")  # never opened here: this process has it open
        report = preflight(path, scratch=scratch)
        assert report.method == "backup"
        assert report.sound
        assert report.untouched
        assert (path.stat(), os.stat(f"{path}-wal"))[0].st_mtime_ns == main.st_mtime_ns
        assert os.stat(f"{path}-wal").st_mtime_ns == wal.st_mtime_ns
        live.execute("commit")
        live.execute("pragma wal_checkpoint(truncate)")
        assert live.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_busy_writer_is_noticed_and_not_blamed_on_the_preflight(made, scratch, mode):
    path = made(mode)
    stop = threading.Event()
    errors = []

    def write():
        with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as connection:
            while not stop.is_set():
                try:
                    connection.execute("insert into t(b) values(randomblob(500))")
                except sqlite3.Error as error:
                    errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        report = preflight(path, scratch=scratch)
    finally:
        stop.set()
        writer.join()
    assert errors == []
    assert report.sound
    assert not report.untouched
    assert path.name in report.changed or f"{path.name}-wal" in report.changed
    assert any("changed by somebody else" in note for note in report.notes)


def test_a_transaction_that_pauses_in_rollback_mode(made, scratch):
    """Its journal looks like a hot one from outside; not opening is the safe side, and it is said."""
    path = made("delete")
    with closing(sqlite3.connect(path, isolation_level=None)) as live:
        live.execute("begin immediate")
        live.execute("pragma cache_size=1")
        live.execute("update t set b='changed'")
        report = preflight(path, scratch=scratch)
        assert report.method in ("none", "backup")
        assert report.untouched
        live.execute("commit")


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows locked bytes can't be read raw")
def test_a_holder_in_exclusive_mode_is_copied_raw(made, scratch):
    path = made("wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as live:
        live.execute("pragma locking_mode=exclusive")
        live.execute("insert into t(b) values('x')")
        names = set(os.listdir(path.parent))
        report = preflight(path, scratch=scratch)
        assert set(os.listdir(path.parent)) == names == {path.name, f"{path.name}-wal"}
        assert report.method == "copy"
        assert report.sound


def test_damage_and_broken_keys_are_found_on_the_copy(tmp_path, scratch):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("create table p(id integer primary key)")
        connection.execute("create table c(p references p(id))")
        connection.execute("insert into c values(5)")
        connection.execute("create table t(b)")
        connection.execute("begin")
        connection.executemany("insert into t values(?)", [("x" * 500,)] * 200)
        connection.execute("commit")
    report = preflight(path, scratch=scratch)
    assert (report.quick, report.integrity, len(report.foreign_keys)) == ((), (), 1)
    assert not report.sound
    data = bytearray(path.read_bytes())
    data[10 * 4096 : 10 * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(data)
    report = preflight(path, scratch=scratch)
    assert report.quick
    assert report.integrity
    assert report.untouched
    path.write_bytes(data[: 20 * 4096])
    report = preflight(path, scratch=scratch)
    assert not report.sound
    assert any("pages that the header promises" in note for note in report.notes)


def test_a_symbolic_link_is_followed_to_the_side_files(made, scratch, tmp_path):
    path = made("wal", "die")
    link = tmp_path / "link.db"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("no symbolic links here")
    report = preflight(link, scratch=scratch)
    assert report.wal.commits == 31
    assert report.sound
    assert not Path(f"{link}-wal").exists()


def bad_path(kind, tmp_path):
    path = tmp_path / "bad.db"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello, world\n" * 500)
    elif kind == "empty":
        path.touch()
    elif kind == "short":
        path.write_bytes(b"SQLite format 3\0" + bytes(50))
    elif kind == "random":
        path.write_bytes(random.Random(4).randbytes(8192))
    elif kind == "below a file":
        path.touch()
        return path / "x.db"
    elif kind == "empty with a WAL":
        path.touch()
        Path(f"{path}-wal").write_bytes(bytes(5000))
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "is not there"),
        ("below a file", "is not there"),
        ("directory", "is a directory"),
        ("text", "no SQLite database (not a database): begins with b'hello, world"),
        ("empty", "zero length; expected a SQLite database"),
        ("short", "(truncated)"),
        ("random", "(encrypted-looking)"),
        ("empty with a WAL", "a -wal of 5000 bytes lies beside it: SQLite would delete that"),
    ],
)
def test_what_can_t_be_examined_is_one_line(tmp_path, scratch, kind, said):
    path = bad_path(kind, tmp_path)
    with pytest.raises(UsageError) as caught:
        preflight(path, scratch=scratch)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no regular file"):
        preflight(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(made):
    path = made()
    path.chmod(0)
    with pytest.raises(UsageError, match="permission denied"):
        preflight(path)


def test_limits(made, scratch):
    path = made()
    with pytest.raises(LimitError, match="the limit is 1000"):
        preflight(path, scratch=scratch, max_bytes=1000)
    with pytest.raises(LimitError, match="took longer than it was given"):
        preflight(path, scratch=scratch, seconds=0.001)
