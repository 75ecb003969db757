"""Programs recorded at the system call level: replaying the log gives the disk, or the recording says that it can't."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from crashlab.errors import LabError, RecordError, SubjectError
from crashlab.log.trace import Role, TraceKind
from crashlab.model.history import EndKind
from crashlab.states.replay import require_same
from crashlab.states.trace import load_trace
from crashlab.writers.record.seccomp import KillAt, record_tree, seccomp_problem
from crashlab.writers.record.seccomp import available as available_module
from crashlab.writers.record.seccomp import run as run_module

pytestmark = pytest.mark.skipif(seccomp_problem() is not None, reason=f"no seccomp recording: {seccomp_problem()}")

SQLITE = """
import os, sqlite3, sys, threading
def rows(connection, first, count):
    for number in range(first, first + count):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * (number % 700)))
        connection.commit()
def opened(mode):
    connection = sqlite3.connect("x.db", check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode=" + mode)
    connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v TEXT)")
    connection.commit()
    return connection
"""


class Recorded:
    """A finished recording: what the recorder said, and where the files and the log are."""

    def __init__(self, root, argv, **options):
        self.directory = root / "run"
        self.directory.mkdir(exist_ok=True)
        self.root = root
        self.base = str(root / "log.0")
        self.tree = record_tree(argv, str(self.directory), log_base=self.base, **options)

    def trace(self, initial=None):
        return load_trace([self.base], initial=initial)

    def prove(self, initial=None):
        """Return the trace after proving it whole, every file of the directory counted."""
        assert self.tree.problems == ()
        trace = self.trace(initial)
        scratch = self.root / "replayed"
        scratch.mkdir()
        require_same(trace, self.directory, scratch, labs_own=lambda _: False)
        return trace

    def ok(self):
        assert (self.tree.ended.kind, self.tree.ended.code) == (EndKind.EXITED, 0), self.tree
        return self


@pytest.fixture
def python(tmp_path):
    def do(code, **options):
        return Recorded(tmp_path, [sys.executable, "-c", code], **options)

    return do


def kinds(trace, path):
    return [
        TraceKind(kind).name for op, kind in enumerate(trace.kinds) if kind and trace.paths[trace.names[op]] == path
    ]


@pytest.mark.parametrize("mode", ["wal", "delete", "persist", "truncate"])
def test_sqlite_in_each_mode(python, mode):
    recorded = python(SQLITE + f"c = opened('{mode}'); rows(c, 0, 40); c.execute('VACUUM'); c.close()").ok()
    trace = recorded.prove()
    roles = {file.path: file.role for file in trace.files}
    assert roles["x.db"] is Role.MAIN
    assert roles["x.db-wal" if mode == "wal" else "x.db-journal"] is (Role.WAL if mode == "wal" else Role.JOURNAL)
    syncs = kinds(trace, "x.db-wal" if mode == "wal" else "x.db-journal").count("SYNC")
    assert syncs >= (1 if mode == "wal" else 40)


def test_a_sync_stands_before_the_next_write(python):
    trace = python(
        SQLITE + "c = opened('wal'); c.execute('PRAGMA synchronous=FULL'); rows(c, 0, 5); os._exit(0)"
    ).prove()
    assert kinds(trace, "x.db-wal")[-6:] == ["WRITE", "WRITE", "SYNC"] * 2


def test_threads_and_forked_children(python):
    recorded = python(
        SQLITE
        + """
opened('wal').close()
def work(first):
    c = opened('wal')
    rows(c, first, 30)
    c.close()
children = []
for first in (1000, 2000):
    pid = os.fork()
    if not pid:
        work(first)
        os._exit(0)
    children.append(pid)
threads = [threading.Thread(target=work, args=(first,)) for first in (3000, 4000)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for child in children: assert os.waitpid(child, 0)[1] == 0
c = opened('wal')
assert c.execute('SELECT count(*) FROM t').fetchone() == (120,)
os._exit(0)
"""
    ).ok()
    trace = recorded.prove()
    assert kinds(trace, "x.db-wal").count("WRITE") >= 240


def test_every_way_to_change_a_file(python):
    """Each call is used, checked by the program itself, and the replay must agree with the disk."""
    recorded = python(
        """
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def new(name, flags=0): return os.open(name, os.O_RDWR | os.O_CREAT | flags, 0o666)
a = new("a")
os.write(a, b"0123456789" * 100)
other = os.dup(a)
os.write(other, b"by the duplicate")
os.pwrite(a, b"pwrite", 3)
os.writev(a, [b"one", b"two", b"three"])
os.pwritev(a, [b"four", b"five"], 500)
os.pwritev(a, [b"durable"], 600, os.RWF_DSYNC)
os.ftruncate(a, 700); os.truncate("a", 650)
os.posix_fallocate(a, 0, 900)
b = new("b", os.O_APPEND)
os.write(b, b"first"); os.lseek(b, 0, 0); os.write(b, b"second")
assert os.pread(b, 99, 0) == b"firstsecond"
assert os.sendfile(b, a, 0, 100) == 100
c = new("c")
assert os.copy_file_range(a, c, 300) == 300 or True
assert os.copy_file_range(a, c, 200, 0, 1000) == 200
os.fsync(a); os.fdatasync(b); libc.sync_file_range(c, ctypes.c_long(0), ctypes.c_long(0), 7)
os.mkdir("sub"); s = os.open("sub", os.O_RDONLY)
d = os.open("d", os.O_WRONLY | os.O_CREAT, dir_fd=s); os.write(d, b"inside"); os.close(d); os.fsync(s)
os.rename("c", "sub/e"); os.write(c, b"after the rename")
os.rename("b", "a2"); os.link
open("b", "w").write("a new one under the old name"); os.unlink("b")
open("t", "w").write("long text"); os.close(os.open("t", os.O_WRONLY | os.O_TRUNC)); open("t", "a").write("short")
with open("x" * 200, "wb") as file: file.write(os.urandom(300_000))
os.umask(0o077); os.close(new("private")); assert os.stat("private").st_mode & 0o777 == 0o600
try: os.open("t", os.O_CREAT | os.O_EXCL)
except FileExistsError: pass
try: os.rename("nowhere", "t")
except FileNotFoundError: pass
try: os.write(os.open("t", os.O_RDONLY), b"no")
except OSError as error: assert error.errno == 9
out = new("out"); subprocess.run([sys.executable, "-c", "print('by a child', flush=True)"], stdout=out, check=True)
os.chdir("sub"); open("relative", "w").write("relative to another directory")
print("done")
"""
    ).ok()
    assert recorded.tree.output == b"done\n"
    trace = recorded.prove()
    assert (recorded.directory / "out").read_bytes() == b"by a child\n"
    assert {"SYNC", "WRITE", "TRUNCATE", "CREATE"} <= set(kinds(trace, "a"))
    assert "DIRSYNC" in kinds(trace, "sub")
    assert trace.directories


def test_what_was_there_before(python, tmp_path):
    initial = tmp_path / "initial"
    initial.mkdir()
    (initial / "old").write_bytes(b"from before")
    shutil.copytree(initial, tmp_path / "run")
    recorded = python("f = open('old', 'r+b'); f.seek(5); f.write(b'AFTER'); f.close(); open('new', 'w')")
    recorded.ok().prove(initial)
    with pytest.raises(RecordError, match="before the recording began"):
        recorded.trace()


# What no call shows must never pass for whole.


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("m = mmap.mmap(f.fileno(), 4096); m[:3] = b'abc'", "'f' was mapped into memory for writing"),
        ("os.link('f', 'g')", "links are not recorded"),
        ("os.symlink('f', 'g')", "links are not recorded"),
        ("os.rename(elsewhere, 'g')", "moved into the run's directory"),
        ("os.mkdir('d'); open('d/f', 'w'); os.rename('d', 'e')", "renamed with files in it"),
        ("os.chroot('/')", "chroot"),
        ("os.open(f'/proc/self/fd/{f.fileno()}', os.O_RDWR | os.O_TRUNC)", "through a link"),
        ("libc.mprotect(ctypes.c_void_p(shared), ctypes.c_size_t(4096), 3)", "was made writable"),
    ],
)
def test_what_cannot_be_recorded_is_named(python, tmp_path, code, said):
    if "chroot" in code and os.geteuid():
        pytest.skip("only root may chroot")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    recorded = python(
        f"""
import ctypes, mmap, os
elsewhere = {str(elsewhere)!r}
libc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p
f = open("f", "w+b"); f.truncate(4096)
shared = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, f.fileno(), ctypes.c_long(0))
{code}
"""
    ).ok()
    assert any(said in problem for problem in recorded.tree.problems), recorded.tree
    assert not recorded.tree.whole
    with pytest.raises(RecordError, match="not recorded"):
        recorded.trace()


def test_a_write_that_was_missed_is_found_by_the_comparison(python):
    """The planted bug: bytes that reach the file behind the recorder's back."""
    recorded = python("open('f', 'w').write('recorded')").ok()
    (recorded.directory / "f").write_text("rewritten")
    with pytest.raises(LabError, match="not whole"):
        recorded.prove()


def test_ways_around_are_told_that_they_do_not_exist(python):
    number = {"x86_64": 206, "aarch64": 0}[platform.machine()]
    recorded = python(
        f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(ctypes.c_long(425), 8, ctypes.create_string_buffer(120)) == -1
assert ctypes.get_errno() == errno.EPERM
assert libc.syscall(ctypes.c_long({number}), 8, ctypes.create_string_buffer(8)) == -1
assert ctypes.get_errno() == errno.ENOSYS
open('f', 'w').write('by ordinary calls')
"""
    ).ok()
    recorded.prove()
    assert recorded.tree.refused == ("io_setup (asynchronous I/O of the kernel)", "io_uring")


def test_sqlite_s_own_map_of_the_shm_is_no_problem(python):
    recorded = python(SQLITE + "c = opened('wal'); c.execute('PRAGMA mmap_size=1000000'); rows(c, 0, 9)").ok()
    recorded.prove()


SABOTAGED = """
from crashlab.writers.record.seccomp import child
from crashlab.writers.record.seccomp.bytes_calls import BytesCalls
from crashlab.writers.record.seccomp.reply import CONTINUE
BytesCalls._writev = lambda *_: CONTINUE
child.main()
"""


@pytest.mark.parametrize("sabotaged", [True, False])
def test_a_call_that_the_recorder_overlooks(python, monkeypatch, sabotaged):
    """The planted bug, and its correct twin."""
    if sabotaged:
        monkeypatch.setattr(run_module, "RECORDER", ("-c", SABOTAGED))
    recorded = python("import os; os.writev(os.open('f', os.O_RDWR | os.O_CREAT), [b'overlooked'])").ok()
    if sabotaged:
        with pytest.raises(LabError, match="not whole"):
            recorded.prove()
    else:
        recorded.prove()


def test_signals_do_not_repeat_a_call(python):
    recorded = python(
        """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
f = os.open("f", os.O_RDWR | os.O_CREAT | os.O_APPEND)
for number in range(1000):
    assert os.write(f, b"%08d" % number) == 8
    os.close(os.open(f"g{number % 7}", os.O_RDWR | os.O_CREAT))
signal.setitimer(signal.ITIMER_REAL, 0)
assert open("f", "rb").read() == b"".join(b"%08d" % number for number in range(1000))
"""
    )
    recorded.ok().prove()


# How it ends.


def test_the_program_killed_from_outside(python):
    recorded = python(SQLITE + "c = opened('wal'); rows(c, 0, 50); import signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (recorded.tree.ended.kind, recorded.tree.ended.code) == (EndKind.SIGNALLED, signal.SIGKILL)
    recorded.prove()
    assert (recorded.directory / "x.db-wal").stat().st_size


@pytest.mark.parametrize("torn", [0, 100])
def test_killed_at_an_exact_operation(python, torn):
    code = SQLITE + "c = opened('wal'); rows(c, 0, 50)"
    recorded = python(code, kill=KillAt(20, "write", "x.db-wal", torn))
    assert (recorded.tree.ended.kind, recorded.tree.ended.code) == (EndKind.SIGNALLED, signal.SIGKILL)
    assert recorded.tree.stopped == "kill point"
    trace = recorded.prove()
    (op,) = trace.unfinished
    assert kinds(trace, "x.db-wal").count("WRITE") == 20
    there = (recorded.directory / "x.db-wal").read_bytes()[trace.offsets[op] :]
    assert there == trace.data(op)[:torn]


KILLED = """
import os
f = os.open("f", os.O_RDWR | os.O_CREAT); os.write(f, b"abc"); os.fsync(f)
os.fsync(os.open(".", os.O_RDONLY)); os.rename("f", "g"); os.truncate("g", 1)
os.open("g", os.O_WRONLY | os.O_TRUNC); os.unlink("g")
"""


@pytest.mark.parametrize(
    ("kind", "count", "there"),
    [
        ("create", 1, {}),
        ("write", 1, {"f": b""}),
        ("sync", 1, {"f": b"abc"}),
        ("dirsync", 1, {"f": b"abc"}),
        ("rename", 1, {"f": b"abc"}),
        ("truncate", 1, {"g": b"abc"}),
        ("truncate", 2, {"g": b"a"}),
        ("delete", 1, {"g": b""}),
    ],
)
def test_killed_before_each_kind_of_operation(python, kind, count, there):
    recorded = python(KILLED, kill=KillAt(count, kind))
    assert recorded.tree.stopped == "kill point"
    recorded.prove()
    assert {path.name: path.read_bytes() for path in recorded.directory.iterdir()} == there


def test_a_kill_point_that_is_not_reached(python):
    recorded = python(KILLED, kill=KillAt(2, "rename")).ok()
    assert recorded.tree.stopped == ""
    recorded.prove()


def test_time_is_limited_and_nobody_is_left(python):
    sleeper = "import os, time; os.setsid(); open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeper!r}])"
    recorded = python(code, seconds_max=2)
    assert recorded.tree.stopped == "seconds"
    assert recorded.tree.ended.kind is EndKind.DEADLINE
    assert recorded.tree.left == 1
    recorded.prove()
    assert not psutil.pid_exists(int((recorded.directory / "pid").read_text()))


def test_a_storm_of_processes_ends_in_time(python):
    recorded = python(
        """
import os, time
for _ in range(60):
    if not os.fork():
        os.setsid()
        while True: open(f"f{os.getpid()}", "w").write("x")
time.sleep(600)
""",
        seconds_max=2,
    )
    assert recorded.tree.stopped == "seconds"
    assert recorded.tree.left == 61
    recorded.prove()


def test_bytes_are_limited(python):
    recorded = python("f = open('f', 'wb')\nwhile True: f.write(bytes(100_000))", bytes_max=1 << 21, seconds_max=30)
    assert recorded.tree.stopped == "bytes"
    assert not recorded.tree.whole
    assert (recorded.directory / "f").stat().st_size < 1 << 22


def test_the_tree_dies_with_its_owner(tmp_path):
    (tmp_path / "run").mkdir()
    program = """
import subprocess, time
subprocess.Popen(["sleep", "600"], start_new_session=True)
open("started", "w").write("yes")
time.sleep(600)
"""
    code = f"""
import sys
from crashlab.writers.record.seccomp import record_tree
record_tree([sys.executable, "-c", {program!r}], {str(tmp_path / "run")!r}, log_base={str(tmp_path / "log.0")!r})
"""
    owner = subprocess.Popen([sys.executable, "-c", code])
    started = tmp_path / "run" / "started"
    until = time.monotonic() + 30
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.02)
    descendants = psutil.Process(owner.pid).children(recursive=True)
    assert len(descendants) == 3
    owner.kill()
    owner.wait()
    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert not alive


def test_a_program_that_cannot_be_run(tmp_path):
    with pytest.raises(SubjectError, match="no program 'no-such-program'"):
        record_tree(["no-such-program"], str(tmp_path), log_base=str(tmp_path / "log"))
    with pytest.raises(SubjectError, match="no directory"):
        record_tree(["true"], str(tmp_path / "nowhere"), log_base=str(tmp_path / "log"))


def test_another_machine_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(available_module.platform, "machine", lambda: "riscv64")
    assert "riscv64" in available_module.seccomp_problem.__wrapped__()
    monkeypatch.setattr(available_module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(available_module.platform, "release", lambda: "5.15.0-91-generic")
    assert "5.19" in available_module.seccomp_problem.__wrapped__()


# Programs that the tap cannot reach.


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 command line here")
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_the_command_line(tmp_path, mode):
    rows = "".join(f"INSERT INTO t VALUES ({number});" for number in range(30))
    sql = f"PRAGMA journal_mode={mode}; CREATE TABLE t (a); {rows} SELECT count(*) FROM t;"
    recorded = Recorded(tmp_path, ["sqlite3", "x.db", sql]).ok()
    assert recorded.tree.output.split() == [mode.encode(), b"30"]
    recorded.prove()


def test_apsw(python):
    pytest.importorskip("apsw")
    code = "import apsw, os\nc = apsw.Connection('x.db')\n"
    code += "c.execute('PRAGMA journal_mode=wal; CREATE TABLE t (a)').fetchall()\n"
    recorded = python(code + "for n in range(30): c.execute('INSERT INTO t VALUES (?)', (n,))\nos._exit(0)").ok()
    trace = recorded.prove()
    assert kinds(trace, "x.db-wal").count("WRITE") >= 60
    assert Path(recorded.directory / "x.db").exists()
