"""`crashlab autopsy --live` and `--pid` against real victims; each damage beside a twin that is healthy."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from crashlab.diagnosis.live import live, procfs
from crashlab.errors import UsageError
from crashlab.sqlite.library import find_library

pytestmark = pytest.mark.skipif(not procfs.available(), reason="looks through Linux's /proc")

VICTIM = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("pragma journal_mode=wal")
connection.execute("create table if not exists t(a)")
connection.execute("insert into t values (1)")
print(os.getpid(), flush=True)
for line in sys.stdin:
    exec(line)
    print(flush=True)
"""
BUSY = """
import sqlite3, sys
print(flush=True)
while True:
    connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
    for number in range(30):
        connection.execute("insert into t values (?)", (number,))
    connection.execute("pragma wal_checkpoint(passive)")
    connection.close()
"""


class Victim:
    """A process that has a database open, and does what it is told."""

    def __init__(self, path, program=VICTIM):
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        self.process.stdout.readline()

    def do(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def end(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def victims():
    made = []

    def make(path, program=VICTIM):
        made.append(Victim(path, program))
        return made[-1]

    yield make
    for each in made:
        each.end()


def kinds(report):
    return {finding.kind for each in report.databases for finding in each.findings if finding.severity != "note"}


@pytest.mark.parametrize(
    ("exhibit", "step", "wrong"),
    [
        ("a1-kill", 1, {"locks-lost"}),
        pytest.param("a1-race", 3, {"locks-lost", "ghost-wal", "two-wal", "two-shm"}, marks=pytest.mark.slow),
        pytest.param("a2-sidecars", 1, {"ghost-wal"}, marks=pytest.mark.slow),
        ("a2-replace", 1, {"main-replaced"}),
        pytest.param("a3-malformed", 2, {"ghost-wal"}, marks=pytest.mark.slow),
    ],
)
def test_what_the_gallery_does_to_living_processes_is_seen(played, exhibit, step, wrong):
    run = played(exhibit, 3)
    if exhibit == "a1-race":
        step = next(at for at, (done, _) in enumerate(run.looks) if done.startswith("Y commits rows, then W"))
    assert not run.findings(0)
    assert run.looks[0][1].exit_code == 0
    assert wrong <= run.findings(step)
    assert run.looks[step][1].exit_code == 1


def test_a_newer_sqlite_among_the_openers_is_named(played):
    openers = played("a1-kill", 3).looks[0][1].databases[0].look.openers
    if find_library().path is None:
        pytest.skip("this SQLite is linked into the interpreter")
    assert [library.version for opener in openers for library in opener.libraries] == [sqlite3.sqlite_version]


@pytest.mark.slow
def test_the_undamaged_twin_is_healthy_at_every_step(played):
    run = played("a1-race", 3, control=True)
    assert [run.findings(step) for step in range(len(run.looks))] == [set()] * len(run.looks)
    assert not run.rescued


def test_a_busy_database_is_healthy(victims, tmp_path):
    """Openers that come and go, commit and checkpoint while it is looked at."""
    path = tmp_path / "a.db"
    victims(path)
    for _ in range(2):
        victims(path, BUSY)
    for _ in range(4):
        report = live(path)
        assert kinds(report) == set()
        assert report.exit_code == 0


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no /dev/shm")
def test_a_database_in_shared_memory_has_its_openers(victims):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        victim = victims(Path(directory) / "a.db")
        (found,) = live(pid=victim.pid).databases
        assert {held.role for opener in found.look.openers for held in opener.held} == {"main", "wal", "shm"}
        victim.end()


def test_looking_takes_no_lock_away_and_changes_nothing(victims, tmp_path):
    path = tmp_path / "a.db"
    victim = victims(path)
    before = [(each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(tmp_path.iterdir())]
    report = live(path, into=tmp_path.parent / f"{tmp_path.name}-into")
    assert report.exit_code == 0
    assert [(each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(tmp_path.iterdir())] == before
    held = live(pid=victim.pid).databases[0].look.openers[0]
    assert [bool(file.locks) for file in held.held] == [True, False, True]  # main, -wal, -shm


def test_a_connection_carried_across_a_fork_is_no_cancelled_lock(victims, tmp_path):
    path = tmp_path / "a.db"
    victim = victims(path)
    victim.do("child = os.fork() or __import__('time').sleep(60)")
    report = live(path)
    assert kinds(report) == {"inherited"}
    victim.do("os.kill(child, 9), os.wait()")
    assert kinds(live(path)) == set()


def test_a_main_file_that_was_moved_away_is_missed_from_its_holder(victims, tmp_path):
    path = tmp_path / "a.db"
    victim = victims(path)
    path.rename(tmp_path / "old.db")
    (found,) = [each for each in live(pid=victim.pid).databases if each.look.path == str(path)]
    assert "main-replaced" in {finding.kind for finding in found.findings}


def test_an_index_cut_under_its_users(victims, tmp_path):
    path = tmp_path / "a.db"
    victims(path)
    os.truncate(f"{path}-shm", 3)
    assert "shm-cut" in kinds(live(path))


def test_the_command_copies_out_what_has_no_name(victims, tmp_path):
    """And the copy, taken from under the holder, gives its rows back."""
    path, into = tmp_path / "a.db", tmp_path / "saved"
    victim = victims(path)
    for side in ("-wal", "-shm"):
        os.unlink(f"{path}{side}")
    victim.do("[connection.execute('insert into t values (?)', (n,)) for n in range(2, 50)]")

    def command(*arguments):
        line = [sys.executable, "-c", "from crashlab.cli import main; main()", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    done = command("autopsy", "--pid", victim.pid, "--into", into)
    assert done.returncode == 1
    assert done.stdout.startswith("DANGER")
    assert "a ghost WAL" in done.stdout
    (next_one,) = [line for line in done.stdout.splitlines() if line.startswith("  next: crashlab salvage")]
    victim.end()
    made = command("salvage", next_one.split()[3], "--into", tmp_path / "new.db")
    assert made.returncode == 0, made.stdout
    connection = sqlite3.connect(tmp_path / "new.db")
    assert connection.execute("select count(*) from t").fetchone() == (49,)
    connection.close()
    again = command("autopsy", "--live", path, "--into", into)
    assert (again.returncode, again.stdout) == (2, "")
    assert "not empty" in again.stderr


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="does not exist, and nobody has it open"):
        live(tmp_path / "none.db")
    with pytest.raises(UsageError, match="there is no process"):
        live(pid=(1 << 22) + 1)
    nobody = live(pid=os.getppid())
    assert nobody.exit_code in (0, 3)
    monkeypatch.setattr(procfs, "available", lambda: False)
    with pytest.raises(UsageError, match="Linux's /proc"):
        live(tmp_path)
