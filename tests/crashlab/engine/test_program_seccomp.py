"""Programs that the tap cannot reach, recorded at their system calls and judged by their own history."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from crashlab.engine.program.commits import find_commits
from crashlab.engine.program.explore import Budget, explore_program
from crashlab.engine.program.legal import find_legal
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import SECCOMP, TAP, UnseenError, record_program
from crashlab.engine.program.restart import Restarter
from crashlab.engine.program.roads import AUTO, choose_road, record_by
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, LimitError, UsageError
from crashlab.log.reader import log_bases
from crashlab.log.trace import TraceKind
from crashlab.model.program import Program
from crashlab.states.materialise import Materialiser
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import NOTHING, load_trace
from crashlab.writers.program.launch import Launch, hook_environment
from crashlab.writers.record.seccomp import KillAt, record_tree, seccomp_problem
from crashlab.writers.tree.confine import confinement_problem

pytestmark = [
    pytest.mark.skipif(seccomp_problem() is not None, reason=f"no seccomp recording: {seccomp_problem()}"),
    pytest.mark.slow,  # whole programs; tests/crashlab/writers/test_seccomp.py keeps the default lane honest
]

EXAMPLES = Path(__file__).parents[3] / "examples" / "programs"
ACKS = r"done (\d+)"


@pytest.fixture
def space():
    with Workspace() as space:
        yield space


@pytest.fixture
def source(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def record(space, source):
    """Record a command in a copy of `source`."""

    def run(*argv, ack_on="", maps=(), timeout=30.0, **more):
        asked = Program(tuple(map(str, argv)), ack_on=ack_on, maps=maps, timeout_s=timeout)
        area = space.make_run()
        return record_program(asked, PrivateCopy(source, area, maps), area, seed=1, via=SECCOMP, **more)

    return run


@pytest.fixture
def explore(record, space):
    def run(*argv, states=300, **more):
        recording = record(*argv, **more)
        budget = Budget(states=states, direct=states)
        scratch = space.root / f"explore{recording.directory.name}"
        return recording, explore_program(recording, "app", budget, scratch)

    return run


def kinds(explored):
    return {(f.finding.identity.invariant, f.finding.identity.fault_class) for one in explored for f in one.found}


# One run, two recorders.

TWICE = """
import os, sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
db.execute(f"PRAGMA journal_mode={sys.argv[1]}")
db.execute(f"PRAGMA synchronous={sys.argv[2]}")
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
for number in range(6):
    with open(f"file{number}", "wb") as file:
        file.write(b"x" * number)
    os.replace(f"file{number}", f"kept{number}")
    db.execute("INSERT INTO t(v) VALUES(?)", ("v" * 900 * number,))
db.execute("BEGIN"); db.execute("DELETE FROM t"); db.execute("ROLLBACK")
os.unlink("kept3")
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.execute("VACUUM")
db.close()
"""


def operations(trace):
    """What reached the disk, byte for byte. The tap knows that a sync of SQLite's had the directory synced with it; at
    the system calls that is a second operation.
    """
    found = []
    for op, kind in enumerate(trace.kinds):
        if kind == NOTHING:
            continue
        path = trace.paths[trace.names[op]]
        target = trace.paths[trace.targets[op]] if kind == TraceKind.RENAME else ""
        role = trace.files[trace.inodes[op]].role if trace.inodes[op] >= 0 else ""
        data = bytes(trace.data(op)) if kind == TraceKind.WRITE else b""
        directory = trace.directories[trace.synced_dirs[op]] if trace.synced_dirs[op] >= 0 else ""
        if kind != TraceKind.DIRSYNC:
            found.append((TraceKind(kind).name, path, role, trace.offsets[op], data, target))
        if directory:
            found.append(("DIRSYNC", directory))
    return found


@pytest.mark.parametrize(
    ("mode", "synchronous"), [("wal", "full"), ("delete", "extra"), ("persist", "full"), ("truncate", "normal")]
)
def test_one_run_recorded_both_ways_gives_the_same_operations_and_the_same_legal_states(tmp_path, mode, synchronous):
    for name in ("work", "log", "tmp", "seccomp", "initial"):
        (tmp_path / name).mkdir()
    (tmp_path / "spool").touch()
    argv = (sys.executable, "-c", TWICE, mode, synchronous)
    order = Launch(argv, str(tmp_path), str(tmp_path / "work"), 30.0)
    environment = hook_environment(order, str(tmp_path / "spool"))
    base = str(tmp_path / "seccomp" / "log.0")
    tree = record_tree(argv, order.copy, log_base=base, env=environment)
    assert (tree.ended.code, tree.problems) == (0, ()), tree
    tapped, stopped = (
        load_trace(bases, initial=tmp_path / "initial") for bases in (log_bases(str(tmp_path / "log")), [base])
    )
    assert operations(tapped) == operations(stopped)
    legal = [
        find_legal(trace, find_commits(trace, "app.db"), (), tmp_path / f"legal{number}")
        for number, trace in enumerate((tapped, stopped))
    ]
    assert legal[0].numbers == legal[1].numbers
    assert legal[0].commits.at_once == legal[1].commits.at_once
    assert legal[0].commits.own == legal[1].commits.own > 6


# Exact kill points.

SEEDED = """
import ctypes, ctypes.util, os, sqlite3, sys
lib = ctypes.CDLL(__import__("_sqlite3").__file__)
db = sqlite3.connect("app.db", isolation_level=None)
lib.sqlite3_test_control(28, ctypes.c_int(7), None)  # SQLITE_TESTCTRL_PRNG_SEED, the same for every run
db.execute(f"PRAGMA journal_mode={sys.argv[1]}")
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
for number in range(3):
    db.execute("INSERT INTO t(v) VALUES(?)", ("v" * 2000,))
    open(f"file{number}", "w").write("x" * 100)
db.close()
"""


def contents(directory):
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if path.is_file() and not path.name.endswith("-shm")
    }


def bridge(tmp_path, mode, every):
    """Kill real runs at operations of a whole one; return (computed states equal to what they left, kills)."""
    argv = [sys.executable, "-c", SEEDED, mode]

    def run(name, kill=None):
        directory = tmp_path / name
        directory.mkdir()
        return directory, record_tree(argv, str(directory), log_base=str(tmp_path / f"{name}.log.0"), kill=kill)

    _, whole = run("whole")
    assert (whole.ended.code, whole.problems) == (0, ())
    trace = load_trace([str(tmp_path / "whole.log.0")])
    moments = [op for op, kind in enumerate(trace.kinds) if kind != NOTHING]
    equal = kills = 0
    with Materialiser(trace, tmp_path / "states") as files:
        for count in range(1, len(moments) + 1, every):
            op = moments[count - 1]
            torn = trace.lengths[op] // 2 if trace.kinds[op] == TraceKind.WRITE and count % 2 else 0
            left, tree = run(f"kill{count}", KillAt(count, torn=torn))
            kills += tree.stopped == "kill point"
            computed = tmp_path / f"computed{count}"
            computed.mkdir()
            files.export(CrashState(KILL, op, torn_bytes=torn), computed)
            equal += contents(left) == contents(computed)
            shutil.rmtree(left)
            shutil.rmtree(computed)
    return equal, kills, len(moments)


def test_states_computed_from_one_run_are_what_real_kills_of_others_leave(tmp_path):
    equal, kills, there = bridge(tmp_path, "wal", 9)
    assert equal == kills >= 3
    assert there > 20


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["wal", "delete", "truncate"])
def test_every_operation_of_a_run_as_a_real_kill(tmp_path, mode):
    equal, kills, there = bridge(tmp_path, mode, 1)
    assert equal == kills == there


# Planted bugs, where the tap sees nothing.

PLANTED = [
    ("counters.py", "", {"power loss"}),
    ("orders.py", ACKS, {"process death", "power loss"}),
    ("uploads.py", "", {"process death", "power loss"}),
]


@pytest.mark.parametrize(("name", "ack_on", "classes"), PLANTED)
def test_the_planted_bugs_are_found_and_their_twins_left_in_peace(explore, source, name, ack_on, classes):
    shutil.copy(EXAMPLES / name, source)
    _, broken = explore(sys.executable, name, "--broken", ack_on=ack_on)
    assert {fault_class for _, fault_class in kinds(broken)} == classes
    recording, sound = explore(sys.executable, name, ack_on=ack_on)
    assert kinds(sound) == set()
    assert sum(each.distinct for each in sound[0].coverage) >= 300
    assert (recording.ran.code, recording.ran.left, recording.ran.limit) == (0, 0, "")


C_PROGRAM = r"""
/* Orders in C. "early": says so before it has committed. "off": synchronous=OFF. "blob": the row before its file. */
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/wait.h>
typedef struct sqlite3 sqlite3;
int sqlite3_open(const char *, sqlite3 **);
int sqlite3_close(sqlite3 *);
int sqlite3_exec(sqlite3 *, const char *, void *, void *, char **);
static sqlite3 *db;
static void run(const char *sql) { if (sqlite3_exec(db, sql, 0, 0, 0)) { fprintf(stderr, "%s\n", sql); exit(9); } }
static void blob(int n) {
    char name[40], text[3000];
    snprintf(name, sizeof name, "blob%d", n);
    memset(text, 'a' + n, sizeof text);
    int f = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (write(f, text, sizeof text) != sizeof text || fsync(f)) exit(8);
    close(f);
    f = open(".", O_RDONLY | O_DIRECTORY);
    if (fsync(f)) exit(8);
    close(f);
}
static void work(const char *how, int first) {
    char sql[200];
    if (sqlite3_open("orders.db", &db)) exit(7);
    run("PRAGMA busy_timeout=20000"); run("PRAGMA journal_mode=WAL");
    run(strcmp(how, "off") ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
    run("PRAGMA wal_autocheckpoint=8");
    run("CREATE TABLE IF NOT EXISTS orders(number INTEGER PRIMARY KEY, file TEXT)");
    for (int n = first; n < first + 6; n++) {
        if (strcmp(how, "blob")) blob(n);
        snprintf(sql, sizeof sql, "INSERT INTO orders VALUES(%d, 'blob%d')", n, n);
        run("BEGIN IMMEDIATE"); run(sql);
        if (!strcmp(how, "early")) { printf("done %d\n", n); fflush(stdout); }
        run("COMMIT");
        if (strcmp(how, "early")) { printf("done %d\n", n); fflush(stdout); }
        if (!strcmp(how, "blob")) blob(n);
    }
    sqlite3_close(db);
}
int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "sound";
    if (strcmp(how, "serve")) { work(how, 1); return 0; }
    for (int child = 0; child < 3; child++) if (!fork()) { work(how, 100 * (child + 1)); _exit(0); }
    int status, bad = 0;
    while (wait(&status) > 0) bad |= status;
    return bad != 0;
}
"""
LIBRARIES = ("-l:libsqlite3.a", "-lsqlite3", "-l:libsqlite3.so.0")


@pytest.fixture(scope="session")
def c_program(tmp_path_factory):
    """A C program, its SQLite inside it where there is a static one."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) here")
    directory = tmp_path_factory.mktemp("c")
    (directory / "orders.c").write_text(C_PROGRAM)
    for library in LIBRARIES:
        with contextlib.suppress(subprocess.CalledProcessError):
            words = [compiler, "-O1", "-o", "orders", "orders.c", library, "-lm", "-lpthread", "-ldl"]
            subprocess.run(words, cwd=directory, check=True, capture_output=True, timeout=100)
            return directory / "orders"
    pytest.skip("no SQLite library to link a C program with here")


@pytest.mark.parametrize(
    ("how", "invariants", "classes"),
    [
        ("sound", set(), set()),
        ("serve", set(), set()),
        ("early", {"acked-commits"}, {"process death", "power loss"}),
        ("off", {"well-formed", "a-committed-state"}, {"power loss"}),
        ("blob", {"named-files"}, {"process death", "power loss"}),
    ],
)
def test_a_c_program(explore, source, c_program, how, invariants, classes):
    shutil.copy(c_program, source)
    recording, explored = explore("./orders", how, ack_on=ACKS, states=500)
    assert recording.ran.code == 0, recording.ran
    assert {invariant for invariant, _ in kinds(explored)} <= invariants
    assert {fault_class for _, fault_class in kinds(explored)} == classes
    if how != "blob":
        assert explored[0].acks == (18 if how == "serve" else 6)
    assert recording.ran.started == (4 if how == "serve" else 1)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 command line here")
def test_the_command_line(explore):
    rows = "".join(f"INSERT INTO t VALUES({number}, hex(zeroblob(500)));" for number in range(8))
    recording, explored = explore("sqlite3", "app.db", f"CREATE TABLE t(id INTEGER PRIMARY KEY, v);{rows}")
    assert recording.ran.code == 0
    assert explored[0].commits >= 9
    assert kinds(explored) == set()


APSW = """
import apsw
db = apsw.Connection("app.db")
db.pragma("journal_mode", "delete"); db.pragma("synchronous", "{synchronous}")
for number in range(4):
    db.execute("UPDATE t SET v = v || 'y'")
db.close()
"""


def test_apsw(explore, source):
    pytest.importorskip("apsw")
    there = sqlite3.connect(source / "app.db")
    there.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    there.executemany("INSERT INTO t(v) VALUES(?)", [("x" * 400,) for _ in range(60)])
    there.commit()
    there.close()
    _, broken = explore(sys.executable, "-c", APSW.format(synchronous="off"))
    assert {fault_class for _, fault_class in kinds(broken)} == {"power loss"}
    _, sound = explore(sys.executable, "-c", APSW.format(synchronous="extra"))
    assert kinds(sound) == set()


THREADS = """
import os, sqlite3, threading

def work(name):
    db = sqlite3.connect("app.db", isolation_level=None, timeout=30)
    for number in range(4):
        db.execute("INSERT INTO t(v) VALUES(?)", (f"{name} {number}",))
    db.close()

db = sqlite3.connect("app.db")
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
db.close()
pids = []
for child in range(2):
    pid = os.fork()
    if not pid:
        work(f"child {child}")
        os._exit(0)
    pids.append(pid)
threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for pid in pids: assert os.waitpid(pid, 0)[1] == 0
"""


def test_threads_and_forked_children_of_a_python(explore):
    recording, explored = explore(sys.executable, "-c", THREADS)
    assert (recording.ran.code, recording.ran.started) == (0, 3)
    assert explored[0].commits >= 18
    assert kinds(explored) == set()


# What is refused.

OUTSIDE = {
    "opened for writing": ("echo x > {0}/new", "new"),
    "removed": ("rm {0}/there", "there"),
    "truncated": ("python3 -c 'import os; os.truncate(\"{0}/there\", 0)'", "there"),
    "renamed": ("mv -T {0}/there {0}/moved", "there"),
    "made": ("mkdir {0}/directory", "directory"),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_what_lies_outside_is_refused_by_name_and_not_touched(record, tmp_path, what):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "there").write_text("as it was")
    command, name = OUTSIDE[what]
    if "python3" in command:
        command = command.replace("python3", sys.executable)
    with pytest.raises(LabError, match=rf"outside/{name} was to be {what}, outside the private copy.*--map"):
        record("/bin/sh", "-c", command.format(outside))
    assert [path.name for path in outside.iterdir()] == ["there"]
    assert (outside / "there").read_text() == "as it was"


def test_a_link_that_leads_out_is_followed_by_the_guard(record, source, tmp_path):
    outside = tmp_path / "notes.txt"
    outside.write_text("as it was")
    (source / "link").symlink_to(outside)
    with pytest.raises(LabError, match=r"notes\.txt was to be opened for writing"):
        record("/bin/sh", "-c", "echo x >> link")
    assert outside.read_text() == "as it was"


def test_what_is_nobody_s_is_let_through(record, source):
    shell = "echo x > /dev/null; echo y > $TMPDIR/scratch; mkdir -p sub/dir; mkdir -p $PWD; echo z > sub/dir/file"
    recording = record("/bin/sh", "-c", shell)
    assert (recording.ran.code, recording.ran.refused) == (0, ())
    semaphore = "import multiprocessing as m; q = m.get_context('spawn').SimpleQueue(); q.put(1)"
    assert record(sys.executable, "-c", semaphore).ran.code == 0


@pytest.mark.skipif(bool(confinement_problem()), reason=confinement_problem())
def test_what_no_path_is_judged_for_is_refused_by_the_kernel(record, tmp_path):
    outside = tmp_path / "socket"
    ran = record(sys.executable, "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({str(outside)!r})").ran
    assert (ran.code, ran.refused) == (1, ())
    assert "PermissionError" in ran.stderr
    assert not outside.exists()


MAPPED = """
import mmap, sqlite3
sqlite3.connect("app.db").execute("CREATE TABLE t(x)")
file = open("table", "w+b"); file.truncate(4096)
m = mmap.mmap(file.fileno(), 4096); m[:3] = b"abc"
"""
SQLITE_S_OWN_MAP = """
import sqlite3
db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA mmap_size=1000000")
db.execute("CREATE TABLE t(x)")
for number in range(5): db.execute("INSERT INTO t VALUES(zeroblob(9000))")
"""


def test_a_map_for_writing_is_refused_by_name_and_sqlite_s_for_reading_is_not(record, explore):
    with pytest.raises(LabError, match=r"what cannot be recorded: 'table' was mapped into memory for writing"):
        record(sys.executable, "-c", MAPPED)
    _, explored = explore(sys.executable, "-c", SQLITE_S_OWN_MAP)
    assert explored[0].commits >= 6
    assert kinds(explored) == set()


def test_limits(record, explore):
    recording, explored = explore(sys.executable, "-c", SQLITE_S_OWN_MAP + "import time; time.sleep(99)", timeout=1.5)
    assert recording.ran.limit.startswith("it ran for 1.5 s, the limit")
    assert recording.ran.left == 0
    assert kinds(explored) == set()
    for words in (("dd", "if=/dev/zero", "of=big"), ("/bin/sh", "-c", "dd if=/dev/zero of=$TMPDIR/big")):
        with pytest.raises(LimitError, match=r"wrote more than 8 MiB.*give it less to do"):
            record(*words, disk_bytes_max=8 << 20)
    assert record("/bin/sh", "-c", "sleep 60 & exit 3").ran.left == 1
    with pytest.raises(UsageError, match="cannot be started"):
        record("no-such-program")


# Which road.


def test_the_road_is_chosen_by_what_the_command_is(source):
    (source / "tool").write_text(f"#!{sys.executable}\nprint(1)\n")
    (source / "tool.sh").write_text("#!/bin/sh\n")
    for name in ("tool", "tool.sh"):
        (source / name).chmod(0o755)
    assert choose_road((sys.executable, "app.py", "-S"), source) == (TAP, "")
    assert choose_road((sys.executable, "-Im", "app"), source) == (SECCOMP, "-Im keeps the start-up hook out")
    assert choose_road(("./tool",), source)[0] == TAP
    assert choose_road(("./tool.sh",), source) == (SECCOMP, "tool.sh is no Python")
    assert choose_road(("no-such-program",), source)[0] == TAP


SHELL = "import subprocess; subprocess.run('echo x > shell.txt', shell=True, check=True)"


def test_what_the_tap_did_not_see_is_recorded_again_at_the_system_calls(space, source):
    program = Program((sys.executable, "-c", SHELL))

    def make_copy():
        area = space.make_run()
        return PrivateCopy(source, area), area

    with pytest.raises(UnseenError, match=r"shell\.txt.*--via seccomp"):
        record_by(TAP, program, make_copy, seed=1)
    recording, copy = record_by(AUTO, program, make_copy, seed=1)
    assert recording.via == SECCOMP
    assert recording.why.startswith("the tap did not see all (shell.txt: ")
    assert (copy.work / "shell.txt").read_text() == "x\n"
    assert not (source / "shell.txt").exists()


def test_a_restart_that_is_no_python_is_guarded_too(record, space, source, tmp_path):
    recording = record(sys.executable, "-c", "import sqlite3; sqlite3.connect('app.db').execute('CREATE TABLE t(x)')")
    trace = recording.trace()
    state = CrashState(KILL, len(trace))
    copy = PrivateCopy(source, space.make_run())

    def restart(shell):
        return Restarter(("/bin/sh", "-c", shell), copy, trace, 30.0, "app").run(state, space.root / "restart")

    assert restart("test -s app.db && echo x > inside") is None
    assert restart("exit 4").message.startswith("the restart ended with exit code 4")
    with pytest.raises(LabError, match=r"at its restart .*outside\.txt was to be opened for writing"):
        restart(f"echo x > {tmp_path}/outside.txt")
    assert not (tmp_path / "outside.txt").exists()
