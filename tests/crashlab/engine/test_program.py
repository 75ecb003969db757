"""An unmodified program under the lab: its own history is the oracle."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from crashlab.engine.program.case import judge_case, load_program_case, save_program_case
from crashlab.engine.program.commits import databases, find_commits
from crashlab.engine.program.explore import Budget, explore_program
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import record_program
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, LimitError, UsageError
from crashlab.model.program import Program
from crashlab.states.materialise import Materialiser
from crashlab.states.recover import Probe, recover
from crashlab.states.state import KILL, CrashState

EXAMPLES = Path(__file__).parents[3] / "examples" / "programs"
ACKS = r"done (\d+)"


@pytest.fixture
def space():
    with Workspace() as space:
        yield space


@pytest.fixture
def record(space, tmp_path):
    """Record a program, given by its text or by its place, in a working directory of its own."""

    def run(program, *words, ack_on="", maps=(), seed=1, timeout=30.0, **more):
        source = tmp_path / "project"
        source.mkdir(exist_ok=True)
        text = program.read_text() if isinstance(program, Path) else program
        (source / "app.py").write_text(text)
        asked = Program((sys.executable, "app.py", *words), ack_on=ack_on, maps=maps, timeout_s=timeout)
        area = space.make_run()
        return record_program(asked, PrivateCopy(source, area, maps), area, seed=seed, **more)

    return run


@pytest.fixture
def explore(record, space):
    def run(program, *words, states=2_000, direct=None, **more):
        recording = record(program, *words, **more)
        budget = Budget(states=states, direct=states if direct is None else direct)
        return recording, explore_program(
            recording, "app.py", budget, space.root / f"explore{recording.directory.name}"
        )

    return run


def kinds(explored):
    return {(f.finding.identity.invariant, f.finding.identity.fault_class) for one in explored for f in one.found}


PLANTED = [
    ("counters.py", "", {"well-formed", "a-committed-state"}, {"power loss"}),
    ("orders.py", ACKS, {"acked-commits"}, {"process death", "power loss"}),
    ("uploads.py", "", {"named-files"}, {"process death", "power loss"}),
]


@pytest.mark.parametrize(("name", "ack_on", "invariants", "classes"), PLANTED)
def test_the_planted_bug_is_found_and_its_twin_left_in_peace(explore, name, ack_on, invariants, classes):
    _, broken = explore(EXAMPLES / name, "--broken", ack_on=ack_on, states=800)
    assert {invariant for invariant, _ in kinds(broken)} <= invariants
    assert {fault_class for _, fault_class in kinds(broken)} == classes
    _, sound = explore(EXAMPLES / name, ack_on=ack_on, states=800)
    assert kinds(sound) == set()
    assert sum(each.distinct for each in sound[0].coverage) >= 800


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "ack_on", "invariants", "classes"), PLANTED)
def test_over_a_hundred_thousand_states_each(explore, name, ack_on, invariants, classes):
    began = time.process_time()
    for words, expected in ((("--broken",), classes), ((), set())):
        _, (one,) = explore(EXAMPLES / name, *words, ack_on=ack_on, states=100_000, direct=20_000)
        assert {fault_class for _, fault_class in kinds((one,))} == expected
        assert {invariant for invariant, _ in kinds((one,))} <= (invariants if expected else set())
        assert sum(each.judged for each in one.coverage) >= 100_000
        assert all(each.unjudged == each.disks == 0 for each in one.coverage)
        assert all(each.mismatches == () for each in one.coverage)
        assert sum(each.cross_checked for each in one.coverage) >= 2_000
        assert sum(each.recoveries for each in one.coverage) < 8_000, "most are judged without SQLite"
    assert time.process_time() - began < 90, "some 10 s of processor time on an idle machine"


JOURNALS = """
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
db.execute(f"PRAGMA journal_mode={sys.argv[1]}")
db.execute(f"PRAGMA synchronous={sys.argv[2]}")
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
for number in range(6):
    db.execute("INSERT INTO t(v) VALUES(?)", ("v" * 300,))
db.execute("BEGIN"); db.execute("DELETE FROM t"); db.execute("ROLLBACK")
"""


@pytest.mark.parametrize(
    ("journal", "synchronous", "at_once"),
    [("wal", "full", 7), ("wal", "normal", 0), ("delete", "extra", 7), ("delete", "full", 0), ("persist", "full", 7)],
)
def test_the_trace_shows_which_commits_the_settings_promise(explore, journal, synchronous, at_once):
    recording, explored = explore(JOURNALS, journal, synchronous, states=300)
    trace = recording.trace()
    assert databases(trace) == ("app.db",)
    commits = find_commits(trace, "app.db")
    assert at_once <= sum(commits.at_once) <= at_once + 2  # the file's creation and the change of mode besides
    assert list(commits.settled) == sorted(commits.settled)
    assert kinds(explored) == set()


CLOSED = """
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute(f"PRAGMA synchronous={sys.argv[1]}")
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY)")
for number in range(1, 4):
    db.execute("INSERT INTO t VALUES(?)", (number,))
    print("done", number, flush=True)
db.close()
"""


@pytest.mark.parametrize(("synchronous", "promised", "lost"), [("NORMAL", False, 3), ("FULL", True, 0)])
def test_the_sync_of_a_checkpoint_promises_nothing_to_the_last_commit_before_it(explore, synchronous, promised, lost):
    recording, explored = explore(CLOSED, synchronous, ack_on=ACKS, states=300)
    assert find_commits(recording.trace(), "app.db").at_once[-1] is promised
    assert kinds(explored) == set()
    assert explored[0].acks_lost == lost


FILES = """
import sqlite3
db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=NORMAL")
db.execute("CREATE TABLE t(file)")
for number in range(12):
    with open(f"{number}.bin", "wb") as file:
        file.write(bytes([number]) * 40_000)
    db.execute("INSERT INTO t VALUES(?)", (f"{number}.bin",))
"""


def test_a_file_that_is_not_whole_is_one_finding_in_whatever_way_it_is_not(explore):
    _, explored = explore(FILES, states=1_000)
    assert kinds(explored) == {("named-files", "power loss")}


def test_before_its_first_file_a_directory_is_there_as_everywhere_else(explore):
    text = CLOSED.replace("db = sqlite3", "import os; os.makedirs('data/deep')\ndb = sqlite3")
    recording, explored = explore(text.replace('"app.db"', '"data/deep/app.db"'), "OFF", ack_on=ACKS, states=300)
    with Materialiser(recording.trace(), recording.directory / "states") as files:
        before = recover(files.show(CrashState(KILL, 0)), Probe("data/deep/app.db"), read_only=False)
    assert before.sound, before
    assert [one.database for one in explored] == ["data/deep/app.db"]
    assert not any(fault_class == "process death" for _, fault_class in kinds(explored))


def test_a_database_that_changes_without_a_journal_is_an_error_by_name(explore):
    with pytest.raises(LabError, match=r"neither journal nor WAL.*journal_mode=MEMORY or OFF"):
        explore(JOURNALS, "memory", "full")


MANY = """
import multiprocessing, subprocess, sqlite3, sys, threading

def work(name):
    db = sqlite3.connect(name, isolation_level=None, timeout=30)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)")
    for number in range(3):
        db.execute("INSERT INTO t(v) VALUES(?)", ("v" * 50,))
    db.close()

if __name__ == "__main__":
    if sys.argv[1] == "one":
        work("one.db")
    else:
        thread = threading.Thread(target=work, args=("thread.db",))
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "app.py", "one"], check=True)
        for method in ("fork", "spawn"):
            child = multiprocessing.get_context(method).Process(target=work, args=(method + ".db",))
            child.start()
            child.join()
            assert child.exitcode == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_threads_and_children_are_recorded_too(explore):
    recording, explored = explore(MANY, "all", states=100)
    assert [one.database for one in explored] == ["fork.db", "one.db", "spawn.db", "thread.db"]
    assert all(one.commits >= 4 for one in explored)
    assert kinds(explored) == set()
    assert recording.ran.code == 0
    assert recording.ran.left == 0


SHARED = """
import multiprocessing, sqlite3

def work(number):
    db = sqlite3.connect("shared.db", isolation_level=None, timeout=30)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS t(x)")
    db.execute("INSERT INTO t VALUES(?)", (number,))
    db.close()

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(work, range(4))
        pool.close()
        pool.join()
    db = sqlite3.connect("main.db", isolation_level=None)
    db.execute("ATTACH 'side.db' AS side")
    db.execute("CREATE TABLE main.t(x)")
    db.execute("CREATE TABLE side.t(x)")
    db.executescript("BEGIN; INSERT INTO main.t VALUES(1); INSERT INTO side.t VALUES(1); COMMIT")
"""


def test_processes_that_share_a_database_and_attached_ones_are_judged_each(explore):
    recording, explored = explore(SHARED, states=150)
    assert {one.database: one.commits >= 3 for one in explored} == dict.fromkeys(
        ("main.db", "shared.db", "side.db"), True
    )
    assert recording.ran.started >= 3
    assert kinds(explored) == set()
    assert all(each.judged >= 100 for one in explored for each in one.coverage)


def test_a_deterministic_program_gives_the_same_states_twice(explore):
    runs = [explore(EXAMPLES / "orders.py", "--broken", ack_on=ACKS, states=400)[1] for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_database_that_was_there_before_is_followed_from_where_it_was(explore, tmp_path):
    import sqlite3

    (tmp_path / "project").mkdir()
    there = tmp_path / "project" / "app.db"
    before = sqlite3.connect(there)
    before.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    before.executemany("INSERT INTO t(v) VALUES(?)", [("x" * 100,) for _ in range(200)])
    before.commit()
    before.close()
    as_it_was = there.read_bytes()
    text = """
import sqlite3
db = sqlite3.connect("app.db")
for number in range(4):
    db.execute("UPDATE t SET v = v || 'y' WHERE id % 4 = ?", (number,))
    db.commit()
"""
    _, explored = explore(text, states=400)
    assert kinds(explored) == set()
    assert explored[0].commits == 4
    assert there.read_bytes() == as_it_was


OUTSIDE = """
import sqlite3, sys
if sys.argv[1] == "database":
    sqlite3.connect(sys.argv[2]).execute("CREATE TABLE t(x)")
else:
    open(sys.argv[2], "w").write("x")
"""


@pytest.mark.parametrize("what", ["database", "file"])
def test_what_lies_outside_is_refused_by_name_and_not_touched(record, tmp_path, what):
    outside = tmp_path / "outside.db"
    with pytest.raises(LabError, match=r"outside\.db was to be opened .*outside the private copy.*--map"):
        record(OUTSIDE, what, str(outside))
    assert not outside.exists()


def test_an_existing_database_outside_is_refused_before_anything_starts_unless_mapped(record, tmp_path):
    import sqlite3

    outside = tmp_path / "real.db"
    sqlite3.connect(outside).execute("CREATE TABLE old(x)").connection.close()
    as_it_was = outside.read_bytes()
    with pytest.raises(UsageError, match=r"argument .*real\.db.*--map"):
        record(OUTSIDE, "database", str(outside))
    (tmp_path / "project" / "link.db").symlink_to(outside)
    with pytest.raises(UsageError, match=r"'link\.db' is a link that leads to the database"):
        record(OUTSIDE, "database", "here.db")
    (tmp_path / "project" / "link.db").unlink()
    inside = tmp_path / "project" / "new.db"
    assert databases(record(OUTSIDE, "database", str(inside)).trace()) == ("new.db",)
    assert not inside.exists(), "an absolute path of the working directory leads into the copy"
    recording = record(OUTSIDE, "database", str(outside), maps=((str(outside), "mine.db"),))
    assert databases(recording.trace()) == ("mine.db",)
    assert outside.read_bytes() == as_it_was


def test_a_program_that_hangs_is_judged_by_what_it_did_until_its_limit(explore):
    recording, explored = explore(MANY.replace("thread.join()", "thread.join(); import time; time.sleep(99)"), "all",
                                  states=100, timeout=1.5)  # fmt: skip
    assert recording.ran.limit.startswith("it ran for 1.5 s, the limit")
    assert [one.database for one in explored] == ["thread.db"]


def test_a_program_that_writes_without_end_meets_the_limit(record):
    text = "file = open('big', 'wb')\nwhile True: file.write(bytes(100_000))"
    with pytest.raises(LimitError, match=r"wrote more than 8 MiB.*give it less to do"):
        record(text, disk_bytes_max=8 << 20)


WORK = """
import os, shutil, sqlite3, sys, time

def work():
    db = sqlite3.connect("app.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t(x)")
    for number in range(3):
        db.execute("INSERT INTO t VALUES(?)", (number,))
    return db
"""
BAD = {
    "leaves": "if os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nwork().close()\ntime.sleep(600)",
    "removes its directory": "work().close()\nshutil.rmtree(os.getcwd())",
    "removes it with the database open": "db = work()\nshutil.rmtree(os.getcwd())",
    "prints binary": "work().close()\nfor out in sys.stdout, sys.stderr: out.buffer.write(bytes(range(256)))\nexit(3)",
    "fails after its work": "work().close()\nraise RuntimeError('too late')",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("what", BAD)
def test_an_ill_behaved_program_is_judged_by_what_it_did(explore, what):
    recording, (one,) = explore(WORK + BAD[what], states=100)
    assert one.database == "app.db"
    assert one.commits >= 4
    assert one.found == ()
    assert recording.ran.left == (what == "leaves")
    assert recording.ran.code == {"prints binary": 3, "fails after its work": 1}.get(what, 0)
    here = str(recording.directory)
    told = [each.info["environ"] or {} for each in psutil.process_iter(["environ"])]
    assert not any(here in value for each in told for value in each.values()), "a process of it was left"


@pytest.mark.parametrize(
    "text",
    ["sys.stdout.write('x' * 100_000)", "db.execute('INSERT INTO t VALUES(zeroblob(1e5))')"],
    ids=["output", "database"],
)
def test_gigabytes_meet_the_limit(record, text):
    with pytest.raises(LimitError, match=r"wrote more than 8 MiB.*give it less to do"):
        record(f"{WORK}db = work()\nwhile True: {text}", disk_bytes_max=8 << 20)


def test_a_write_past_the_recorder_voids_the_recording(record):
    text = "import subprocess\nsubprocess.run('echo x > shell.txt', shell=True, check=True)"
    with pytest.raises(LabError, match=r"shell\.txt.*not whole|not whole.*shell\.txt"):
        record(text)


def test_a_case_is_judged_again_without_the_program(explore, space, tmp_path):
    recording, explored = explore(EXAMPLES / "orders.py", "--broken", ack_on=ACKS, states=400)
    found = explored[0].found[0]
    saved = save_program_case(tmp_path / "cases", 0, recording.directory, found, "app.py")
    case = load_program_case(saved)
    again = judge_case(saved, case, space.root / "again")
    assert [each.identity for each in again] == [found.finding.identity]
    assert again[0].message == found.finding.message
    assert (saved / "evidence" / "orders.db").exists()


NAMES = """
import os, sqlite3, sys
os.makedirs("data/blobs")
db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE t(name)")

def keep(path):
    with open(path, "wb") as file:
        file.write(path.encode() * 50)
        file.flush()
        os.fsync(file.fileno())
    for directory in ("data/blobs", "data", "."):
        os.fsync(os.open(directory, os.O_RDONLY))

for number in range(5):
    path = f"data/blobs/{number}.bin"
    name = {"absolute": os.path.abspath(path), "relative": "./" + path, "end": f"{number}.bin"}[sys.argv[1]]
    row = lambda: db.execute("INSERT INTO t VALUES(?)", (name,))
    if sys.argv[2] == "broken":
        row(), keep(path)
    else:
        keep(path), row()
"""


@pytest.mark.parametrize("name", ["absolute", "relative", "end"])
def test_a_row_that_names_a_file_must_find_it_however_it_names_it(explore, name):
    _, (broken,) = explore(NAMES, name, "broken", states=200)
    assert kinds((broken,)) == {("named-files", "process death"), ("named-files", "power loss")}
    _, (sound,) = explore(NAMES, name, "sound", states=200)
    assert sound.named == broken.named == 5
    assert sound.found == ()


CHANCE = """
import os, sqlite3
db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE t(name)")
log = open("app.log", "w")
for text in ("app.log", "inbox.json", "later.txt", "plain"):
    log.write(text)
    log.flush()
    db.execute("INSERT INTO t VALUES(?)", (text,))
    if text == "inbox.json":  # a job's file: done, and gone
        open(text, "w").close()
    elif text == "later.txt":
        os.unlink("inbox.json")
for name in ("later.txt", "plain"):
    open(name, "w").close()
    os.unlink(name)
"""


def test_text_that_is_a_path_by_chance_accuses_nobody(explore):
    _, (one,) = explore(CHANCE, states=300)
    assert one.named == 0
    assert one.found == ()
