# ruff: noqa: SIM115 - how files are opened and closed is what is tested
"""A program's own files in the one log: whatever way they are changed, replaying the log gives the disk."""

import builtins
import ctypes
import io
import mmap
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from os import replace as replace_of_mine

import pytest

from crashlab.errors import LabError, RecordError
from crashlab.log.reader import log_bases
from crashlab.log.trace import Role, TraceKind
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Recorder, Tap, tap_problem
from crashlab.states.replay import compare_with_disk
from crashlab.states.trace import load_trace
from crashlab.writers.record import PlainFiles
from crashlab.writers.record.names import is_labs_own

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX calls")
needs_tap = pytest.mark.skipif(tap_problem() is not None, reason=f"no tap here: {tap_problem()}")


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest.fixture
def recorded(run):
    """Run `work(directory)` recorded; return the trace after comparing its replay with the disk."""

    def do(work, *, same=True, tap=False, **options):
        log = LogWriter(str(run / "log.0"))
        files = PlainFiles(log, str(run), **options)
        with Tap(recorder=Recorder(log, run)) if tap else files:
            if tap:
                with files:
                    work(run)
            else:
                work(run)
        log.close()
        trace = load_trace(log_bases(str(run)))
        if same:
            assert differences(trace, run) == []
        return trace

    return do


def differences(trace, run):
    scratch = run.parent / "replayed"
    scratch.mkdir()
    found = compare_with_disk(trace, run, scratch, labs_own=is_labs_own)
    shutil.rmtree(scratch)
    return list(map(str, found))


def lines(trace):
    return [line.partition(" ")[2] for op in range(len(trace)) if "nothing" not in (line := trace.describe(op))]


def test_a_file_replaced_the_careful_way(recorded):
    def work(directory):
        with open(directory / "a.tmp", "w", encoding="utf-8") as file:
            file.write("hello")
            file.flush()
            os.fsync(file.fileno())
        os.replace(directory / "a.tmp", directory / "a")
        descriptor = os.open(directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    assert lines(recorded(work)) == ["create a.tmp", "write a.tmp 0+5", "sync a.tmp", "rename a.tmp to a", "dirsync ."]


def test_what_is_buffered_reaches_the_log_when_it_reaches_the_descriptor(recorded):
    def work(directory):
        with open(directory / "a", "wb", buffering=16) as file:
            file.write(b"12345")
            with open(directory / "b", "wb") as other:
                other.write(b"x")
            file.write(b"6789")
            file.flush()
            file.write(b"z" * 40)

    assert lines(recorded(work)) == ["create a", "create b", "write b 0+1", "write a 0+9", "write a 9+40"]


def fd(flags, do):
    """A way that opens `f` with these flags and does something to the descriptor."""
    return lambda d: _with(os.open(d / "f", os.O_RDWR | os.O_CREAT | flags), do)


def after(data, do):
    """A way that begins with a file `f` of some bytes."""
    return lambda d: ((d / "f").write_bytes(data), do(d))


WAYS = {
    "os.write": fd(0, lambda f: os.write(f, b"abc")),
    "os.pwrite": fd(0, lambda f: os.pwrite(f, b"abc", 10)),
    "os.writev": fd(0, lambda f: os.writev(f, [b"a", b"bc"])),
    "os.pwritev": fd(0, lambda f: os.pwritev(f, [b"a", b"bc"], 3)),
    "os.truncate": after(b"x" * 99, lambda d: os.truncate(d / "f", 10)),
    "os.ftruncate": fd(0, lambda f: os.ftruncate(f, 1000)),
    "os.posix_fallocate": fd(0, lambda f: os.posix_fallocate(f, 10, 100)),
    "os.dup": fd(0, lambda f: _with(os.dup(f), lambda g: os.write(g, b"1"))),
    "os.fdopen": lambda d: _written(os.fdopen(os.open(d / "f", os.O_RDWR | os.O_CREAT), "wb")),
    "open a descriptor": fd(0, lambda f: _written(open(f, "wb", closefd=False))),
    "append": after(b"123", lambda d: _written(open(d / "f", "ab"))),
    "O_APPEND": after(b"123", fd(os.O_APPEND, lambda f: os.write(f, b"4"))),
    "O_DSYNC": fd(getattr(os, "O_DSYNC", 0), lambda f: os.write(f, b"4")),
    "relative": lambda d: _in(d, lambda: pathlib.Path("f").write_text("relative")),
    "bytes path": lambda d: _written(open(os.fsencode(d / "f"), "wb")),
    "through ..": lambda d: ((d / "sub").mkdir(), (d / "sub" / ".." / "f").write_bytes(b"x")),
    "update": after(b"0123456789", lambda d: _updated(d / "f")),
    "exclusive": lambda d: _written(open(d / "f", "xb")),
    "unbuffered": lambda d: _written(open(d / "f", "wb", buffering=0)),
    "lines": lambda d: _text(open(d / "f", "w", buffering=1, newline="\r\n")),
    "utf-16": lambda d: _text(open(d / "f", "w", encoding="utf-16")),
    "io.open": lambda d: _written(io.open(d / "f", "wb")),  # noqa: UP020
    "io.FileIO": lambda d: _written(io.FileIO(d / "f", "w")),
    "opener": lambda d: _written(open("f", "wb", opener=lambda name, flags: os.open(d / name, flags, 0o600))),
    "raw.truncate": lambda d: _shortened(d / "f"),
    "pathlib": lambda d: _by_path(d),
    "os.rename": after(b"1", lambda d: os.rename(d / "f", d / "g")),
    "captured": after(b"1", lambda d: replace_of_mine(d / "f", d / "g")),
    "replace onto": after(b"1", lambda d: ((d / "g").write_bytes(b"22"), os.replace(d / "f", d / "g"))),
    "move out": after(b"1", lambda d: os.replace(d / "f", d.parent / "out")),
    "os.remove": after(b"1", lambda d: os.remove(d / "f")),
    "removed while open": lambda d: _removed_open(d / "f"),
    "shutil.copy": after(os.urandom(70_000), lambda d: shutil.copy(d / "f", d / "g")),
    "shutil.copyfileobj": after(b"1" * 70_000, lambda d: _copied(d)),
    "shutil.move": after(b"1" * 70, lambda d: (shutil.copy2(d / "f", d / "p"), shutil.move(d / "p", d / "q"))),
    "os.sendfile": after(b"12345", lambda d: _kernel_copy(d, lambda i, o: os.sendfile(o, i, 1, 3))),
    "os.copy_file_range": after(b"12345", lambda d: _kernel_copy(d, lambda i, o: os.copy_file_range(i, o, 3, 1, 6))),
    "mkstemp": lambda d: _temporary(d),
    "NamedTemporaryFile": lambda d: _named_temporary(d),
    "TemporaryFile": lambda d: _written(tempfile.TemporaryFile(dir=d)),
    "TemporaryDirectory": lambda d: _temporary_directory(d),
    "dir_fd": lambda d: _with(os.open(d, os.O_RDONLY), _relative_to),
}


def _with(descriptor, do):
    try:
        return do(descriptor)
    finally:
        os.close(descriptor)


def _written(file):
    with file:
        file.write(b"bytes")


def _text(file):
    with file:
        print("a line\nand another", file=file)


def _in(directory, do):
    before = os.getcwd()
    os.chdir(directory)
    try:
        do()
    finally:
        os.chdir(before)


def _updated(path):
    with open(path, "r+b") as file:
        assert file.read(2) == b"01"
        file.write(b"XX")
        file.seek(-1, os.SEEK_END)
        file.write(b"END")
    assert path.read_bytes() == b"01XX45678END"


def _shortened(path):
    with open(path, "w+") as file:
        file.write("0123456789")
        file.seek(4)
        file.truncate()
    assert path.read_text() == "0123"


def _removed_open(path):
    with open(path, "wb") as file:
        os.unlink(path)
        file.write(b"nobody will see it")


def _by_path(directory):
    path = directory / "f"
    path.touch()
    path = path.rename(directory / "g").replace(directory / "h")
    path.unlink()


def _copied(directory):
    with open(directory / "f", "rb") as source, open(directory / "g", "wb") as target:
        shutil.copyfileobj(source, target)


def _kernel_copy(directory, copy):
    source, target = os.open(directory / "f", os.O_RDONLY), os.open(directory / "g", os.O_WRONLY | os.O_CREAT)
    assert copy(source, target) == 3
    os.close(source)
    os.close(target)
    assert (directory / "g").read_bytes().lstrip(b"\0") == b"234"


def _temporary(directory):
    descriptor, name = tempfile.mkstemp(dir=directory)
    with os.fdopen(descriptor, "w") as file:
        file.write("text")
    os.replace(name, directory / "kept")


def _named_temporary(directory):
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        file.write(b"gone")
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as file:
        file.write(b"kept")


def _temporary_directory(directory):
    with tempfile.TemporaryDirectory(dir=directory) as name:
        pathlib.Path(name, "inner").write_bytes(b"1")
        pathlib.Path(name, "deeper").mkdir()
        pathlib.Path(name, "deeper", "x").write_bytes(b"1")
    shutil.rmtree(directory / "nothing", ignore_errors=True)


def _relative_to(at):
    descriptor = os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.write(descriptor, b"1")
    os.close(descriptor)
    os.rename("f", "g", src_dir_fd=at, dst_dir_fd=at)
    descriptor = os.open("h", os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.close(descriptor)
    os.unlink("h", dir_fd=at)


@posix_only
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_changing_files_is_recorded(recorded, way):
    if way.startswith("os.") and not hasattr(os, way.removeprefix("os.")):
        pytest.skip(f"no {way} here")
    trace = recorded(WAYS[way])
    assert way == "TemporaryFile" or len(lines(trace)) >= 2  # that one has no name at all


@posix_only
def test_a_synchronous_descriptor_syncs_each_write(recorded):
    assert lines(recorded(WAYS["O_DSYNC"])) == ["create f", "write f 0+1", "sync f"]


@posix_only
@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_of_calls_replays_to_the_disk(recorded, seed):
    """Random calls on a few names, several descriptors on each, in three threads one after another's turn."""
    rng = random.Random(seed)
    turn = threading.Lock()

    def one(directory, opened):
        name = directory / rng.choice("abc")
        match rng.randrange(9):
            case 0:
                name.write_bytes(rng.randbytes(rng.randrange(6000)))
            case 1 | 2 if len(opened) < 12:
                flags = rng.choice([0, os.O_TRUNC, os.O_APPEND])
                opened.append(os.open(name, os.O_RDWR | os.O_CREAT | flags))
            case 3 | 4 if opened:
                os.write(rng.choice(opened), rng.randbytes(rng.randrange(1, 3000)))
            case 5 if opened:
                os.pwrite(rng.choice(opened), rng.randbytes(rng.randrange(1, 300)), rng.randrange(5000))
            case 6 if opened:
                os.ftruncate(rng.choice(opened), rng.randrange(5000))
            case 7 if name.exists():
                os.replace(name, directory / rng.choice("abc"))
            case 8 if opened:
                os.close(opened.pop(rng.randrange(len(opened))))
            case _ if name.exists():
                name.unlink()

    def work(directory):
        opened = []

        def some():
            for _ in range(100):
                with turn:
                    one(directory, opened)

        threads = [threading.Thread(target=some) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for descriptor in opened:
            os.close(descriptor)

    assert len(recorded(work)) > 100


def test_threads_without_any_order_between_them(recorded):
    def work(directory):
        def append(number):
            for at in range(50):
                with open(directory / "shared", "ab") as file:
                    file.write(b"%d:%d\n" % (number, at))
                (directory / f"own{number}").write_bytes(b"%d" % at)

        threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len((directory / "shared").read_bytes().splitlines()) == 200

    recorded(work)


@posix_only
def test_a_forked_child_has_its_own_log_and_is_recorded(recorded):
    def work(directory):
        with open(directory / "f", "wb", buffering=0) as file:
            file.write(b"parent ")
            pid = os.fork()
            if not pid:
                try:
                    file.write(b"child ")
                    (directory / "childs").write_bytes(b"1")
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            file.write(b"parent again")
        assert (directory / "f").read_bytes() == b"parent child parent again"

    assert "write f 7+6" in lines(recorded(work))


def test_everything_is_as_before_afterwards(recorded):
    names = ("open", "write", "fsync", "replace", "unlink", "close")
    before = [getattr(os, name) for name in names], open, io.open, io.FileIO, set(os.supports_dir_fd), replace_of_mine
    inside = []

    def work(directory):
        inside.extend([builtins.open, io.FileIO, os.open, replace_of_mine])
        with open(directory / "f", "wb") as file:
            assert isinstance(file, io.BufferedWriter)
            assert isinstance(file.raw, io.FileIO)
            assert file.name == directory / "f"
        with open(sys.executable, "rb") as file:
            assert isinstance(file.raw, io.FileIO)
        assert os.unlink in os.supports_dir_fd or sys.platform == "win32"

    recorded(work)
    assert inside[0] is not open
    assert inside[3] is not replace_of_mine
    after = [getattr(os, name) for name in names], open, io.open, io.FileIO, set(os.supports_dir_fd), replace_of_mine
    assert before == after
    assert builtins.open is io.open


def test_two_recordings_at_once_are_refused(run):
    log = LogWriter(str(run / "log.0"))
    with (
        PlainFiles(log, str(run)),
        pytest.raises(LabError, match="one recording at a time"),
        PlainFiles(log, str(run)),
    ):
        pass
    log.close()


@pytest.mark.parametrize(
    "arguments",
    [("rr",), ("q",), ("w", 0), ("wb", 1, "utf-8"), ("w", -1, "no-such-encoding"), ("w", -1, None, None, "x")],
)
def test_mistakes_in_the_arguments_are_reported_as_ever(recorded, run, arguments):
    with pytest.raises((ValueError, LookupError)) as expected:
        open(run.parent / "outside", *arguments)

    def work(directory):
        with pytest.raises(expected.type) as found:
            open(directory / "f", *arguments)
        assert str(found.value) == str(expected.value)

    recorded(work)


def test_errors_of_the_system_are_raised_and_recorded(recorded):
    def work(directory):
        for wrong in (
            lambda: open(directory / "no" / "f", "wb"),
            lambda: open(directory / "none", "r+b"),
            lambda: os.remove(directory / "none"),
            lambda: os.replace(directory / "none", directory / "f"),
            lambda: os.open(directory / "none", os.O_RDONLY),
        ):
            with pytest.raises(FileNotFoundError):
                wrong()
        (directory / "f").write_bytes(b"1")
        with pytest.raises(FileExistsError):
            open(directory / "f", "xb")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(999, b"1")
        with open(directory / "f", "rb") as file, pytest.raises(OSError, match="write"):
            file.write(b"2")

    recorded(work)


@posix_only
def test_a_full_disk_in_the_middle_of_a_write_is_recorded_as_short_as_it_was(recorded):
    import resource

    def work(directory):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with open(directory / "f", "wb", buffering=0) as file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, hard))  # the log has room below it
            import signal

            before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            try:
                for _ in range(3):
                    file.write(b"w" * (1 << 20))
                file.write(b"x" * ((1 << 20) - 10))
                assert file.write(b"y" * 100) == 10
                with pytest.raises(OSError, match="too large"):
                    file.write(b"z")
            finally:
                signal.signal(signal.SIGXFSZ, before)
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    trace = recorded(work)
    assert lines(trace)[-1] == f"write f {(4 << 20) - 10}+10"
    assert len(trace.failed_writes) == 2


def test_files_outside_and_the_labs_own_are_not_recorded(recorded):
    def work(directory):
        (directory.parent / "outside").write_bytes(b"1")
        (directory / ".crashlab-signal.ready").touch()
        (directory / "state.db-shm").write_bytes(b"1")
        (directory.parent / "run-not").mkdir()
        (directory.parent / "run-not" / "f").write_bytes(b"1")

    assert lines(recorded(work)) == []


@needs_tap
def test_one_log_has_rows_and_files_in_the_order_in_which_they_were_written(recorded):
    def work(directory):
        connection = sqlite3.connect(directory / "a.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(v)")
        (directory / "before").write_bytes(b"1")
        connection.execute("INSERT INTO t VALUES(1)")
        (directory / "after").write_bytes(b"1")
        connection.close()

    found = lines(recorded(work, tap=True))
    before, after = found.index("create before"), found.index("create after")
    assert before < next(at for at, line in enumerate(found) if at > before and "write a.db-wal" in line) < after


@needs_tap
def test_a_database_that_the_program_itself_writes_is_recorded_as_such(recorded):
    def work(directory):
        old = directory.parent / "old.db"
        with sqlite3.connect(old) as connection:
            connection.execute("CREATE TABLE t(v)")
        connection.close()
        shutil.copy(old, directory / "a.db")
        connection = sqlite3.connect(directory / "a.db", isolation_level=None)
        connection.execute("INSERT INTO t VALUES(1)")
        connection.close()
        with open(directory / "a.db", "r+b") as file:
            file.seek(80)
            file.write(b"\1")
        os.replace(directory / "a.db", directory / "b.db")

    trace = recorded(work, tap=True)
    assert "write a.db 80+1" in lines(trace)
    assert trace.files[trace.final_names["b.db"]].role is Role.MAIN


# What the replacements can't see must not pass for a whole recording.


def _subprocess(directory):
    (directory / "f").write_bytes(b"1")
    subprocess.run([sys.executable, "-c", f"open({str(directory / 'f')!r}, 'ab').write(b'2')"], check=True, timeout=30)


def _stranger(directory):
    subprocess.run(
        [sys.executable, "-c", f"open({str(directory / 'new')!r}, 'wb').write(b'2')"], check=True, timeout=30
    )


def _c_code(directory):
    (directory / "f").write_bytes(b"1")
    libc = ctypes.CDLL(None)
    descriptor = libc.open(os.fsencode(directory / "f"), os.O_WRONLY)
    assert libc.write(descriptor, b"2", 1) == 1
    libc.close(descriptor)


@posix_only
@pytest.mark.parametrize("past", [_subprocess, _stranger, _c_code])
def test_what_nobody_sees_is_found_by_the_comparison_with_the_disk(recorded, run, past):
    trace = recorded(past, same=False)
    assert len(differences(trace, run)) == 1


def _map(directory):
    with open(directory / "f", "w+b") as file:
        file.write(b"1" * 10)
        file.flush()
        with mmap.mmap(file.fileno(), 10) as mapped:
            mapped[0] = 50


def _kept_default(directory, remove=os.remove):
    (directory / "f").write_bytes(b"1")
    remove(directory / "f")


def _kept_open(directory, real=open):
    with real(directory / "f", "wb") as file:
        file.write(b"1")


def _kept_rename(directory, rename=os.rename):
    (directory / "f").write_bytes(b"1")
    rename(directory / "f", directory / "g")


def _link(directory):
    (directory / "f").write_bytes(b"1")
    os.link(directory / "f", directory / "g")


def _symlink(directory):
    os.symlink("f", directory / "g")


def _moved_in(directory):
    (directory.parent / "f").write_bytes(b"1")
    os.rename(directory.parent / "f", directory / "f")


def _directory_renamed(directory):
    (directory / "d").mkdir()
    (directory / "d" / "f").write_bytes(b"1")
    os.rename(directory / "d", directory / "e")


@posix_only
@pytest.mark.parametrize(
    ("past", "named"),
    [
        (_map, "'f' was mapped for writing"),
        (_kept_default, "'f' was removed by a function that is not replaced"),
        (_kept_open, "'f' was opened for writing by a function"),
        (_kept_rename, "'f' was renamed by a function"),
        (_link, "os.link made "),
        (_symlink, "os.symlink made "),
        (_moved_in, "was moved into the run's directory as 'f'"),
        (_directory_renamed, "was renamed with files in it"),
    ],
)
def test_what_can_be_noticed_but_not_recorded_voids_the_recording_by_name(recorded, run, past, named):
    with pytest.raises(LabError, match="proves nothing") as raised:
        recorded(past)
    assert named in str(raised.value)
    # However the process ends, its log can't be read as a whole one.
    with pytest.raises(RecordError, match="not recorded"):
        load_trace(log_bases(str(run)))


def test_directories_that_are_not_to_be_synced_are_not(recorded):
    def work(directory):
        descriptor = os.open(directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    if sys.platform != "win32":
        trace = recorded(work, directory_syncs=False)
        assert int(TraceKind.DIRSYNC) not in list(trace.kinds)
