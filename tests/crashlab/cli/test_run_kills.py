"""`crashlab run --fault kill -- COMMAND`: real kills of real programs, Python and not."""

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from crashlab.engine.program.kills.case import KILLED_CASE
from crashlab.engine.workspace import Workspace
from crashlab.writers.tree.confine import confinement_problem

EXAMPLES = Path(__file__).parents[3] / "examples" / "programs"
SHELL = shutil.which("sqlite3")
COMPILER = shutil.which("cc")
needs_shell = pytest.mark.skipif(SHELL is None, reason="the sqlite3 command line is not installed")
needs_landlock = pytest.mark.skipif(bool(confinement_problem()), reason=confinement_problem() or "-")
pytestmark = [
    pytest.mark.slow,  # dozens of real programs; tests/crashlab/engine/test_kills.py keeps the default lane honest
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="real kills of a command need Linux"),
    pytest.mark.timeout(240),
]

BATCHES = """
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY)")
done = []
for number in range(1, 3001):
    if not db.in_transaction:
        db.execute("BEGIN")
    db.execute("INSERT INTO t VALUES(?)", (number,))
    done.append(number)
    if "--broken" in sys.argv:
        print("done", number)
    if number % 20 == 0:
        db.execute("COMMIT")
        if "--broken" not in sys.argv:
            for each in done:
                print("done", each)
        done = []
"""
SHELL_PROGRAM = """
sqlite3 app.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY);' > /dev/null
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    if test "$1" = --broken; then echo "done $number"; fi
    sqlite3 app.db "INSERT INTO t VALUES($number);"
    if test "$1" != --broken; then echo "done $number"; fi
done
"""
C_PROGRAM = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    FILE *sql = popen("sqlite3 app.db", "w");
    fprintf(sql, "CREATE TABLE t(id INTEGER PRIMARY KEY);\\n");
    for (int number = 1; number <= 200; number++) {
        fprintf(sql, "INSERT INTO t VALUES(%d);\\n.print done %d\\n", number, number);
        if (argc > 1 && !strcmp(argv[1], "--broken")) { printf("done %d\\n", number); fflush(stdout); }
    }
    return pclose(sql);
}
"""


@pytest.fixture
def lab(tmp_path):
    """The command line in a process of its own, in a project with the examples and the programs above."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES, project, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "batches.py").write_text(BATCHES)
    (project / "app.sh").write_text(SHELL_PROGRAM)

    def run(*words):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
        return subprocess.run(
            [sys.executable, "-c", "from crashlab.cli import main; main()", *map(str, words)],
            cwd=project,
            env=kept,
            capture_output=True,
            text=True,
            timeout=200,
        )

    run.project = project
    return run


def replay_of(answer):
    line = next(line for line in answer.stdout.splitlines() if "crashlab replay" in line)
    return shlex.split(line)[2:]


def test_acks_before_the_commit_are_found_by_kills_and_the_case_kills_again(lab):
    command = ("run", "--fault", "kill", "--trials", 12, "--jobs", 2, "--ack-on", r"done (\d+)", "--", sys.executable)
    broken = lab(*command, "batches.py", "--broken")
    assert broken.returncode == 1, broken
    assert "FAIL killed/acked-commits · batches.py · process death" in broken.stdout
    assert "a kill is not a power loss" in broken.stdout
    assert "95 %" in broken.stdout
    words = replay_of(broken)
    case = lab.project / words[1]
    told = json.loads((case / KILLED_CASE).read_text())
    assert "batches.py --broken" not in (case / KILLED_CASE).read_text()
    assert sys.executable not in json.dumps(told)
    assert (case / "evidence" / "app.db").is_file()
    assert f"  autopsy    {words[1]}/autopsy.txt" in broken.stdout
    assert (case / "autopsy.txt").read_text().startswith("HEALTHY")
    again = lab(*words[:2], "--times", 10, *words[2:])
    assert again.returncode == 1, again
    assert "reproduced " in again.stdout
    assert "/10" in again.stdout
    assert "killed/acked-commits" in again.stdout
    for refused, says in (
        (lab("reduce", words[1]), "nothing to reduce"),
        (lab("replay", words[1]), "give its command"),
    ):
        assert refused.returncode == 2
        assert says in refused.stderr
    left = {path.name for path in lab.project.iterdir()} - {path.name for path in EXAMPLES.iterdir()}
    assert left == {".crashlab", "batches.py", "app.sh"}, "the program worked in copies"


def test_the_correct_twin_passes_with_its_numbers_told(lab):
    sound = lab("run", "--fault", "kill", "--trials", 12, "--ack-on", r"done (\d+)", "--format", "json",
                "--", sys.executable, "batches.py")  # fmt: skip
    assert sound.returncode == 0, sound
    told = json.loads(sound.stdout)
    assert told["verdict"] == "PASS"
    assert (told["trials"], told["failures"], told["ack_rule"]) == (12, 0, "value")
    assert 0 < told["judged"] <= 12
    assert told["judged"] == told["verdicts"]["PASS"]
    assert 0 < told["upper_bound_95"] <= 1
    assert sum(told["verdicts"].values()) == 12


RESTARTS = """
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
if "--check" in sys.argv:
    found = db.execute("SELECT count(*) FROM t").fetchone()[0]
    sys.exit(f"only {found} rows" if found < 60 and "--strict" in sys.argv else 0)
db.execute("CREATE TABLE IF NOT EXISTS t(x)")
for number in range(60):
    db.execute("INSERT INTO t VALUES(?)", (number,))
"""


@pytest.mark.slow
def test_a_restart_that_fails_is_a_finding_and_its_replay_takes_the_command(lab):
    (lab.project / "app.py").write_text(RESTARTS)
    check = f"{sys.executable} app.py --check --strict"
    answer = lab("run", "--fault", "kill@open", "--trials", 3, "--restart", check, "--", sys.executable, "app.py")
    assert answer.returncode == 1, answer
    assert "FAIL restart/succeeds · app.py" in answer.stdout
    words = replay_of(answer)
    again = lab(*words[:2], "--times", 3, *words[2:])
    assert again.returncode == 1, again
    assert "restart/succeeds" in again.stdout
    without = lab("replay", words[1], "--", sys.executable, "app.py")
    assert without.returncode == 2
    assert "--restart COMMAND" in without.stderr
    never = lab("run", "--fault", "kill", "--restart", "sh -c 'exit 3'", "--", sys.executable, "app.py")
    assert never.returncode == 3
    assert "after a run that nobody killed the restart ended with exit code 3" in never.stderr


PYTHON = (sys.executable, "-c")
OPENS = "import sqlite3; db = sqlite3.connect('x.db', isolation_level=None); "
COMMITS = OPENS + "db.execute('CREATE TABLE t(x)'); "
NOT_JUDGED = {
    "never opens a database": ((*PYTHON, "print(1)"), 3, "MISSED: the program committed nothing"),
    "never commits": ((*PYTHON, OPENS + "db.execute('BEGIN'); db.execute('CREATE TABLE t(x)')"), 3, "MISSED"),
    "exits at once": (("true",), 3, "MISSED: the program committed nothing"),
    "fails": (("sh", "-c", "echo no such thing >&2; exit 4"), 3, "with exit code 4: no such thing"),
    "hangs": (("sleep", "100"), 3, "it ran for 3 s, the limit"),
    "needs a terminal": (("sh", "-c", "test -t 0 || exit 9"), 3, "an empty standard input and no terminal"),
    "deletes its directory": ((*PYTHON, COMMITS + "import shutil, os; shutil.rmtree(os.getcwd())"), 3,
                              "removed its working directory"),
    "prints gigabytes": (("yes",), 3, "printed more than 64 MiB"),
    "writes gigabytes": (("sh", "-c", "head -c 280000000 /dev/zero > big; sleep 9"), 3, "wrote more than 256 MiB"),
    "forks without end": (("sh", "-c", "while :; do sleep 100 & done"), 3, "more than 400 processes"),
    "is not there": (("no-such-program",), 2, "cannot be started"),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_JUDGED)
def test_what_cannot_be_judged_has_a_clear_answer(lab, what):
    words, code, says = NOT_JUDGED[what]
    answer = lab("run", "--fault", "kill", "--trials", 3, "--timeout", 3, "--", *words)
    assert answer.returncode == code, answer
    assert says in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    assert "PASS" not in answer.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--fault", "kill@ack#1", "--", "true"), "needs --ack-on"),
        (("--fault", "hangup", "--", "true"), "expected one of kill, term, hup, int"),
        (("--fault", "kill", "--states", "100", "--", "true"), "real kills of a COMMAND do not take it"),
        (("--trials", "5", "--", "true"), "with --fault kill alone"),
        (("--fault", "kill", "--subject", "x", "--", "true"), "--subject is about a subject"),
        (("--fault", "kill", "--timeout", "900", "--", "true"), "at most 600 s"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_one_line(lab, words, says):
    answer = lab("run", *words)
    assert answer.returncode == 2, answer
    assert says in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert not (lab.project / ".crashlab").exists()


@pytest.mark.slow
def test_a_program_that_forks_and_leaves_is_hit_in_what_it_left(lab):
    daemon = "import os, time, sqlite3\nif os.fork(): os._exit(0)\nos.setsid()\n" + BATCHES.replace(
        'print("done", each)', "time.sleep(0.002)"
    )
    (lab.project / "daemon.py").write_text(daemon)
    answer = lab("run", "--fault", "kill", "--trials", 6, "--format", "json", "--", sys.executable, "daemon.py")
    assert answer.returncode == 0, answer
    told = json.loads(answer.stdout)
    assert told["verdict"] == "PASS"
    assert "leaves processes behind" in told["notes"][0]


def test_output_that_is_no_text_is_no_trouble(lab):
    script = COMMITS + (
        "import os; [(db.execute('INSERT INTO t VALUES(?)', (n,)), "
        "os.write(1, os.urandom(3000) + b'\\ndone %d\\n' % n)) "
        "for n in range(300)]"
    )
    answer = lab("run", "--fault", "kill", "--trials", 6, "--ack-on", r"^done (\d+)$", "--", *PYTHON, script)
    assert answer.returncode == 0, answer
    assert "each looked for in x.db: t.x" in answer.stdout


def test_a_database_elsewhere_is_refused_by_name_and_stays_as_it_is(lab, tmp_path):
    real = tmp_path / "real.db"
    with sqlite3.connect(real) as db:
        db.execute("CREATE TABLE t(x)")
    db.close()
    before = real.read_bytes()
    script = (
        f"import sqlite3; db = sqlite3.connect('{tmp_path}' + '/real' + '.db'); db.execute('INSERT INTO t VALUES(1)')"
    )
    hidden = lab("run", "--fault", "kill", "--", *PYTHON, f"{script}; db.commit()")
    assert hidden.returncode == 3, hidden
    assert f"{real} was to be opened as a database" in hidden.stderr
    told = lab("run", "--fault", "kill", "--", sys.executable, "app.py", f"--db={real}")
    assert told.returncode == 2
    assert f"{real}, outside the working directory" in told.stderr
    assert real.read_bytes() == before
    (lab.project / "app.py").write_text(
        "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for n in range(300): db.execute('INSERT INTO t VALUES(?)', (n,))\n"
    )
    mapped = lab(
        "run", "--fault", "kill", "--trials", 4, "--map", f"{real}=copy.db", "--", sys.executable, "app.py", real
    )
    assert mapped.returncode == 0, mapped
    assert "copy.db: well-formed" in mapped.stdout
    assert real.read_bytes() == before


@pytest.mark.slow
@needs_shell
@needs_landlock
def test_a_program_that_is_no_python_cannot_write_elsewhere(lab, tmp_path):
    other = tmp_path / "other.db"
    script = f"p={tmp_path}; sqlite3 $p/other.db 'CREATE TABLE t(x)'"
    answer = lab("run", "--fault", "kill", "--", "sh", "-c", script)
    assert answer.returncode == 3, answer
    assert "may write below its working directory and TMPDIR only" in answer.stderr
    assert not other.exists()
    word = lab("run", "--fault", "kill", "--", "sqlite3", other, "CREATE TABLE t(x)")
    assert f"{other} is outside: write {{dir}}/other.db" in word.stderr
    several = 'for n in 1 2 3 4 5 6 7 8 9; do sqlite3 {dir}/new.db "CREATE TABLE t$n(x)"; done'
    inside = lab("run", "--fault", "kill", "--trials", 6, "--", "sh", "-c", several)
    assert inside.returncode == 0, inside
    assert "new.db: well-formed" in inside.stdout


def test_a_killed_lab_leaves_no_program_behind(lab):
    (lab.project / "sleeper.sh").write_text("(setsid env -i sleep 120 &) ; exec sleep 120")
    words = ["run", "--fault", "kill", "--", "sh", "sleeper.sh"]
    command = [sys.executable, "-c", "from crashlab.cli import main; main()", *words]
    owner = psutil.Popen(command, cwd=lab.project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(children := owner.children(recursive=True)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    owner.kill()
    owner.wait()
    _gone, alive = psutil.wait_procs(children, timeout=20)
    assert len(children) >= 3
    assert alive == []
    with Workspace(tempfile.gettempdir()), Workspace():
        pass  # which remove what the killed one left


@pytest.mark.slow
@needs_shell
def test_a_shell_script_with_the_sqlite3_command_line_and_its_twin(lab):
    command = ("run", "--fault", "kill", "--trials", 16, "--ack-on", r"done (\d+)", "--", "sh", "app.sh")
    broken = lab(*command, "--broken")
    assert broken.returncode == 1, broken
    assert "FAIL killed/acked-commits · app.sh" in broken.stdout or "· sh ·" in broken.stdout
    sound = lab(*command)
    assert sound.returncode == 0, sound


@pytest.mark.slow
@needs_shell
@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_a_c_program_and_its_twin(lab):
    source = lab.project / "app.c"
    source.write_text(C_PROGRAM)
    subprocess.run([str(COMPILER), "-o", str(lab.project / "app"), str(source)], check=True, timeout=60)
    command = ("run", "--fault", "kill", "--trials", 40, "--ack-on", r"done (\d+)", "--", "./app")
    broken = lab(*command, "--broken")
    assert broken.returncode == 1, broken
    assert "FAIL killed/acked-commits · app" in broken.stdout
    sound = lab(*command)
    assert sound.returncode == 0, sound


@pytest.mark.slow
def test_a_row_before_its_file_is_found(lab):
    broken = lab("run", "--fault", "kill", "--trials", 150, "--", sys.executable, "uploads.py", "--broken")
    assert broken.returncode == 1, broken
    assert "FAIL killed/named-files · uploads.py · process death" in broken.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("kill", r"done (\d+)", "orders.py"),
        ("kill", r"done (\d+)", "batches.py"),
        ("kill", "", "uploads.py"),
        ("kill", "", "counters.py"),
        ("term", r"done (\d+)", "orders.py"),
        ("hup", r"done (\d+)", "batches.py"),
    ],
)
def test_the_twins_are_clean_over_two_hundred_runs(lab, words):
    fault, acks, script = words
    answer = lab("run", "--fault", fault, "--trials", 200, "--ack-on", acks, "--format", "json",
                 "--", sys.executable, script)  # fmt: skip
    assert answer.returncode == 0, answer
    told = json.loads(answer.stdout)
    assert told["failures"] == 0
    assert told["judged"] > 0  # most of them, but on a busy machine a run is soon over


@pytest.mark.slow
def test_an_ack_some_microseconds_before_its_commit_is_found_among_many(lab):
    broken = lab("run", "--fault", "kill", "--trials", 600, "--ack-on", r"done (\d+)", "--", sys.executable,
                 "orders.py", "--broken")  # fmt: skip
    assert broken.returncode == 1, broken
    assert "FAIL killed/acked-commits · orders.py · process death" in broken.stdout
    assert "each looked for in orders.db: orders.number" in broken.stdout
