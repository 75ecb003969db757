"""`crashlab run -- python app.py`."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from crashlab.engine.workspace import Workspace
from crashlab.writers.record.seccomp import seccomp_problem

EXAMPLES = Path(__file__).parents[3] / "examples" / "programs"


@pytest.fixture
def lab(tmp_path):
    """The command line in a process of its own, in a project with the examples."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES, project, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*words):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
        return subprocess.run(
            [sys.executable, "-c", "from crashlab.cli import main; main()", *map(str, words)],
            cwd=project,
            env=kept,
            capture_output=True,
            text=True,
            timeout=150,
        )

    run.project = project
    return run


def test_a_finding_its_replay_and_the_correct_twin(lab):
    command = ("run", "--states", 400, "--ack-on", r"done (\d+)", "--", sys.executable, "orders.py")
    broken = lab(*command, "--broken")
    assert broken.returncode == 1, broken
    assert "FAIL history/acked-commits · orders.py · process death" in broken.stdout
    assert "found again in orders, column 1" in broken.stdout
    told = next(line for line in broken.stdout.splitlines() if line.startswith("  autopsy ")).split()[1]
    assert json.loads((lab.project / told).with_suffix(".json").read_bytes())["verdict"] == "healthy"
    assert "environment: " in broken.stdout
    replay = next(line for line in broken.stdout.splitlines() if "crashlab replay" in line).split()[2:]
    again = lab(*replay)
    assert again.returncode == 1, again
    assert "reproduced: history/acked-commits" in again.stdout
    sound = lab(*command)
    assert sound.returncode == 0, sound
    assert "all as after a commit of the program's own" in sound.stdout
    left = {path.name for path in lab.project.iterdir()} - {path.name for path in EXAMPLES.iterdir()}
    assert left == {".crashlab"}, "the program worked in a copy"


RESTARTS = """
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
if "--check" in sys.argv:
    assert db.execute("SELECT count(*) FROM t").fetchone()[0] % 2 == 0, "an odd number"
else:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t(x)")
    for number in range(6):
        db.execute("INSERT INTO t VALUES(?)", (number,))
"""


@pytest.mark.slow
def test_the_programs_own_restart_runs_on_crash_states(lab):
    (lab.project / "app.py").write_text(RESTARTS)
    check = f"{sys.executable} app.py --check"
    answer = lab("run", "--states", 200, "--restarts", 8, "--restart", check, "--format", "json",
                 "--", sys.executable, "app.py")  # fmt: skip
    assert answer.returncode == 1, answer
    told = json.loads(answer.stdout)
    assert told["verdict"] == "FAIL"
    assert told["restarts"] == 8
    assert {each["identity"].split(" · ")[0] for each in told["findings"]} == {"restart/succeeds"}
    failing = next(
        each for each in told["findings"] if "an odd number" in each["message"] or "no such" in each["message"]
    )
    again = lab("replay", failing["case"], "--", *check.split())
    assert again.returncode == 1, again
    assert "reproduced: restart/succeeds" in again.stdout
    unasked = lab("replay", failing["case"])
    assert unasked.returncode == 2
    assert "give its command" in unasked.stderr


NO_COMMIT = "import sqlite3; sqlite3.connect('x.db', isolation_level=None).executescript('begin; create table t(x);')"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--", sys.executable, "-c", "print(1)"), 3, "MISSED: the program committed nothing"),
        (("--", sys.executable, "-c", "import sqlite3; sqlite3.connect('x.db').execute('select 1')"), 3, "MISSED"),
        (
            ("--timeout", "0.5", "--", sys.executable, "-c", "import time; time.sleep(60)"),
            3,
            "ran for 0.5 s, the limit",
        ),
        (("--via", "tap", "--", sys.executable, "-S", "-c", "1"), 3, "no Python was recorded"),
        (("--", "no-such-program"), 2, "cannot be started"),
        (("--ack-on", "(", "--", "python"), 2, "expected a regular expression"),
        (("--map", "here", "--", "python"), 2, "expected REAL=COPY"),
        (("--param", "a=1", "--", "python"), 2, "--param is about a subject"),
        (("--map", "no-such=x", "--", "python"), 2, "does not exist"),
    ],
)
def test_what_cannot_be_judged_has_a_clear_answer(lab, words, code, says):
    answer = lab("run", "--states", 100, *words)
    assert answer.returncode == code, answer
    assert says in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    if code == 2:
        assert len(answer.stderr.splitlines()) == 1
        assert not (lab.project / ".crashlab").exists()


SHELL = """
sqlite3 app.db 'CREATE TABLE t(id INTEGER PRIMARY KEY)'
for n in 1 2 3; do echo done $n; sqlite3 app.db "INSERT INTO t VALUES($n)"; done
"""


@pytest.mark.slow
@pytest.mark.skipif(seccomp_problem() is not None, reason=f"no seccomp recording: {seccomp_problem()}")
@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 command line here")
def test_a_shell_script_is_recorded_at_its_system_calls(lab):
    broken = lab("run", "--states", 200, "--ack-on", r"done (\d+)", "--", "sh", "-c", SHELL)
    assert broken.returncode == 1, broken
    assert "recorded at its system calls, by seccomp, because sh is no Python" in broken.stdout
    assert "FAIL history/acked-commits · sh · process death" in broken.stdout
    replay = next(line for line in broken.stdout.splitlines() if "crashlab replay" in line).split()[2:]
    again = lab(*replay)
    assert "reproduced: history/acked-commits" in again.stdout
    missing = lab("run", "--", "sh", "-c", f"echo x > {lab.project.parent}/outside")
    assert missing.returncode == 3
    assert "outside was to be opened for writing, outside the private copy, and was refused" in missing.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ends the program on Linux alone")
def test_a_killed_lab_leaves_no_program_behind(lab):
    (lab.project / "sleeper.py").write_text("import time; time.sleep(120)")
    command = [sys.executable, "-c", "from crashlab.cli import main; main()", "run", "--", sys.executable, "sleeper.py"]
    owner = psutil.Popen(command, cwd=lab.project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (children := owner.children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)  # the hook runs at the start of the program's Python
    owner.kill()
    owner.wait()
    _gone, alive = psutil.wait_procs(children, timeout=10)
    assert children
    assert alive == []
    with Workspace():
        pass  # which removes what the killed one left


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
@pytest.mark.parametrize("command", [(sys.executable, "-m", "package"), ("./tool",)])
def test_a_module_and_a_console_script(lab, command):
    (lab.project / "package").mkdir()
    (lab.project / "package" / "__init__.py").write_text((lab.project / "counters.py").read_text())
    (lab.project / "package" / "__main__.py").write_text("from package import main\nmain()")
    tool = lab.project / "tool"
    tool.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, '.')\nfrom package import main\nmain()")
    tool.chmod(0o755)
    answer = lab("run", "--states", 100, "--", *command)
    assert answer.returncode == 0, answer
    assert "counters.db: 33 commits, 31 of them durable at once" in answer.stdout


@pytest.mark.slow
def test_every_failure_ends_in_commands_that_work_when_pasted(lab):
    command = ("run", "--states", 300, "--ack-on", r"done (\d+)", "--", sys.executable, "orders.py", "--broken")
    told = lab(*command).stdout.splitlines()
    reduce = next(line for line in told if "crashlab reduce" in line).split()[2:]
    small = lab(*reduce)
    assert small.returncode == 0, small
    assert "keeps  history/acked-commits · orders.py · process death" in small.stdout
    fault = next(line for line in small.stdout.splitlines() if line.startswith("to ")).split()[1]
    assert "+" not in fault, "no torn write is needed for it"
    again = next(line for line in small.stdout.splitlines() if "crashlab replay" in line).split()[2:]
    assert lab(*again).returncode == 1
    minimal = lab(*[word + "-reduced" if "cases" in word else word for word in reduce])
    assert "it is minimal already" in minimal.stdout, minimal
    assert lab(*reduce, "--", "python").returncode == 2


@pytest.mark.slow
def test_a_restarts_finding_is_reduced_with_its_command(lab):
    (lab.project / "app.py").write_text(RESTARTS)
    check = f"{sys.executable} app.py --check"
    told = lab("run", "--states", 200, "--restarts", 4, "--restart", check, "--", sys.executable, "app.py").stdout
    reduce = next(line for line in told.splitlines() if "crashlab reduce" in line).split()[2:]
    small = lab(*reduce[:2], "--tries", "6", *reduce[2:])
    assert small.returncode == 0, small
    assert "keeps  restart/succeeds" in small.stdout
    assert lab(*reduce[:2]).returncode == 2
