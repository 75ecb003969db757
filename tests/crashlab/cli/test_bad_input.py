"""Bad input: one line that says what, which value, what was expected; exit code 2; nothing left behind."""

import os
import stat
import sys

import pytest

needs_posix_modes = pytest.mark.skipif(
    sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="permissions bind neither root nor Windows",
)


# --- subjects and what they name


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("goood", "unknown subject 'goood'; crashlab.toml has: "),
        ("lost", "module 'small_ap' does not import"),
        ("broken", "No module named 'a_module_that_nobody_has'"),
        ("typo", "module 'small_app' has no 'Godo'; did you mean 'Good'?"),
        ("nothing", "has no open, lanes, steps, restart, tables, contract"),
        (
            "refuses",
            "even without a fault: RuntimeError: the licence [red]server[/] is down \\x1b[2J second",
        ),
    ],
)
def test_a_subject_that_cannot_be_judged(refused, subject, said):
    assert said in refused("gate", "--subject", subject)


def test_run_refuses_the_same_subjects(refused):
    assert "did you mean 'good'?" in refused("run", "--subject", "goood")
    assert "module 'small_ap' does not import" in refused("run", "--subject", "lost")


def test_which_subject(refused, project):
    project.write("")
    assert "which subject? name one with --subject; there are: none" in refused("gate")
    project.write('[subjects.a]\nworkload = "x:y"\n[subjects.b]\nworkload = "x:y"\n')
    assert "there are: a, b" in refused("gate")


def test_no_configuration_at_all(refused, project):
    project.config.unlink()
    assert "no crashlab.toml here" in refused("gate")
    assert "'crashlab init' writes a crashlab.toml" in refused("run", "--subject", "x")
    assert "which subject?" in refused("bench", "kills")


# --- parameters and the grid


@pytest.mark.parametrize(
    ("param", "said"),
    [
        ("evry=1", "declares no parameter 'evry'; it has: every, label, steps; did you mean 'every'?"),
        ("every=often", "--param: every = 'often' is text, but subject 'good' declares every = 5, a number"),
        ("every", "--param 'every': expected NAME=VALUE"),
        ("=3", "--param '=3': expected NAME=VALUE"),
    ],
)
def test_a_parameter_on_the_command_line(refused, param, said):
    assert said in refused("run", "--trials", 1, "--param", param)


def test_a_parameter_twice(refused):
    assert "--param every: given twice" in refused("run", "--param", "every=1", "--param", "every=2")


def test_a_number_is_text_where_text_is_declared(crashlab):
    answer = crashlab("run", "--trials", 1, "--fault", "none", "--param", "label=7", "--format", "ndjson")
    assert answer.code == 0, answer
    assert '"params":{"steps":14,"every":5,"label":"7"}' in answer.out or '"label":"7"' in answer.out


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ('every = [3, "never"]', "gate.grid: every = 'never' is text, but subject 'good' declares every = 5, a number"),
        ("every = []", "gate.grid.every is empty, expected at least one value"),
        ("every = 3", "gate.grid.every: expected `array`, got `int` (it is 3)"),
        ("every = [nan]", "gate.grid.every = nan, expected a finite number"),
        ("every = [99999999999999999999]", "expected a number of at most 64 bits"),
        ("every = [2026-11-21]", "gate.grid.every[0]: expected `bool | int | float | str`, got `date`"),
    ],
)
def test_a_grid_that_does_not_fit_the_subject(refused, project, grid, said):
    project.replace("every = [3, 5]", grid)
    assert said in refused("gate")


def test_parameters_of_the_subject_itself(refused, project):
    project.replace(
        'good = { workload = "small_app:Good" }', 'good = { workload = "small_app:Good", params.every = "x" }'
    )
    assert "subjects.good.params: every = 'x' is text" in refused("gate")
    project.replace('params.every = "x"', "params.evry = 1")
    assert "did you mean 'every'?" in refused("run", "--trials", 1)


# --- crashlab.toml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gaet]", "unknown key 'gaet' in the top level; known: subjects, gate, study, bench, planted, path, results"),
        ("root = '/'", "unknown key 'root' in the top level; known: subjects, gate, study, bench, planted, path"),
        ("[gate]\ntrails = 3", "unknown key 'trails' in [gate]; "),
        ("[gate]\ntrails = 3", "did you mean 'trials'?"),
        ("[gate.policy]\nadvisorys = 'warn'", "unknown key 'advisorys' in [gate.policy]; "),
        ("[gate.policy]\nadvisories = 'perhaps'", "gate.policy.advisories: invalid enum value 'perhaps'"),
        ("[gate.policy]\nphase_hits_min = -1", "gate.policy.phase_hits_min = -1, expected 0 to 1000000"),
        ("[gate.policy]\ntrials_min = 0.5", "gate.policy.trials_min: expected `int`, got `float` (it is 0.5)"),
        ("[gate]\ntrials = 'many'", "gate.trials: expected `int`, got `str` (it is 'many')"),
        ("[gate]\ntrials = 0", "gate.trials = 0, expected 1 to 1000000"),
        ("[gate]\nbudget = 'soon'", "gate.budget 'soon': expected a duration above zero such as 90s, 10m or 2h"),
        ("[gate]\nsubject = 'nobody'", "gate.subject = 'nobody' is no subject"),
        ("[gate.weights]\nx = [1]", "gate.weights.x weighs a parameter that gate.grid has not"),
        ("[gate.grid]\nx = [1, 2]\n[gate.weights]\nx = [1]", "expected 2 numbers of 0 or more"),
        ("[gate.grid]\nx = [1]\n[gate.weights]\nx = [nan]", "expected 1 numbers of 0 or more"),
        ("[gate]\nrows_by = ['xy']\n[gate.grid]\nxyz = [1]", "which gate.grid has not; did you mean 'xyz'?"),
        ("[gate.unreachable]\ncheckpont = { }", "names phase 'checkpont'; known: start-up, "),
        ("[gate.unreachable]\ncheckpont = { }", "did you mean 'checkpoint'?"),
        (
            "[gate.unreachable]\ncheckpoint = { x = 0 }",
            "gate.unreachable.checkpoint names 'x', which gate.grid has",
        ),
        (
            "[subjects.a]\nworkload = 'x:y'\nparam = 1",
            "unknown key 'param' in [subjects.a]; known: workload, params",
        ),
        ("[subjects.a]\nparams = { }", "subjects.a: object missing required field `workload`"),
        ("[subjects.a]\nworkload = 3", "subjects.a.workload: expected `str`, got `int` (it is 3)"),
        ("[subjects.'my app']\nworkload = 'x:y'", "subject 'my app': expected letters, digits"),
        ("subjects = 3", "subjects: expected `object`, got `int` (it is 3)"),
        ("this is no TOML", "not TOML: "),
        ("x = " + "[" * 5000, "crashlab.toml: "),
    ],
)
def test_a_wrong_configuration(refused, project, text, said):
    project.write(text + "\n")
    line = refused("gate")
    assert said in line
    assert "crashlab.toml: " in line


def test_a_configuration_that_is_not_text(refused, project):
    project.config.write_bytes(b"\xff\xfe\x00")
    assert "not TOML" in refused("gate")


@pytest.mark.parametrize("path", ["nowhere.toml", "."])
def test_a_configuration_that_is_not_there(refused, path):
    assert "expected a crashlab.toml file" in refused("gate", "--config", path)


# --- faults


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("kil@ack#1", "unknown fault 'kil' in 'kil@ack#1'; known: "),
        ("kil@ack#1", "did you mean 'kill'?"),
        ("kill@akc#1", "unknown selector 'akc'; known: ack, "),
        ("kill@phase=comit", "unknown phase 'comit'; known: "),
        ("kill@phase=comit", "did you mean 'commit'?"),
        ("kill@ack#1 dely=3us", "kill has no option 'dely'"),
        ("kill@ack#1 delay=3parsecs", "delay=3parsecs, expected a duration such as 300us, 20ms or 5s"),
        ("kill@ack#0", "#0, expected #1 or more"),
        ("hangup@ack#1 on=whatever", "on=whatever is none of default, ignore, print, handle"),
        ("kill @ ack", "expected kind@selector[#n][+bytes][ key=value"),
        ("", "expected kind@selector"),
        ("kill@ack#1 delay=\x1b[2J", "delay=\\x1b[2J"),
    ],
)
def test_a_wrong_fault(refused, fault, said):
    assert said in refused("run", "--fault", fault)


# --- the command line itself


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["gat"], "no command 'gat'; there are: init, doctor, run, gate, "),
        (["gat"], "; did you mean 'gate'?"),
        (["gate", "--bugdet", "3s"], "No such option '--bugdet'. Did you mean '--budget'?"),
        (["gate", "--budget", "soon"], "--budget 'soon': expected a duration above zero"),
        (["gate", "--budget", "0"], "expected a duration above zero"),
        (["gate", "--budget", "-5s"], "expected a duration above zero"),
        (["gate", "--budget", "1e3"], "expected a duration above zero"),
        (["gate", "--seed", "-1"], "--seed"),
        (["gate", "--slots", "9999"], "--slots"),
        (["gate", "--workspace", "nowhere"], "--workspace"),
        (["run", "--trials", "0"], "--trials"),
        (["gate", "--format", "jsno"], "github, markdown; did you mean 'json'?"),
        (["gate", "--format", "json", "--format", "ndjson"], "both go to standard output; give one of them =PATH"),
        (["gate", "--format", "json=crashlab.toml"], "crashlab.toml exists and is never overwritten"),
        (["gate", "--format", "json=no/such/dir.json"], "does not exist"),
        (["gate", "--format", "json="], "no path after '='"),
        (["gate", "--format", "json=x", "--format", "text=x"], "x is named twice"),
        (["gate", "--results", "crashlab.toml"], "results directory crashlab.toml cannot be written"),
        (["gate", "--results", "crashlab.toml/in/it"], "cannot be written"),
        (["bench", "kils"], "unknown bench 'kils'; there are: kills, states, hazards, program, seccomp, "),
        (["bench", "states", "--rounds", "x"], "'x' is no whole number"),
        (["planted", "--limit", "nan"], "'nan' is no number"),
        (["repro", "a1-kill", "--format", "jsn"], "is not one of 'text', 'json', 'markdown'; did you mean 'json'?"),
        (["repro", "a1-kill", "--deadline", "soon"], "'soon' is no number"),
        (["doctor", "--format", "jsno"], "did you mean 'json'?"),
        (["repro", "s39"], "did you mean 's38'?"),
    ],
)
def test_a_wrong_command_line(refused, args, said):
    assert said in refused(*args)


@needs_posix_modes
def test_directories_that_cannot_be_written(refused, project):
    closed = project.directory / "closed"
    closed.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    assert "cannot be written" in refused("gate", "--results", closed)
    assert "cannot make a directory" in refused("gate", "--workspace", closed)
    assert "cannot be written" in refused("gate", "--format", f"json={closed}/x")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system that refuses even root")
def test_directories_where_nothing_can_be_made(refused):
    assert "results directory /proc/nothing cannot be written" in refused("gate", "--results", "/proc/nothing")
    assert "the lab cannot make a directory in /proc" in refused("gate", "--workspace", "/proc")
    assert "the lab cannot make a directory in /proc" in refused("doctor", "--workspace", "/proc")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("numbers_app", "expected the form 'module:attr'"),
        ("broken_app:bench", "does not import: ModuleNotFoundError"),
        ("crooked_app:bench", "does not import: SyntaxError"),
        ("numbers_app:two", "does not import: AttributeError"),
        ("numbers_app:three", "is not callable"),
    ],
)
def test_a_registered_bench_that_cannot_run(refused, project, target, said, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (project.directory / "crooked_app.py").write_text("def bench(:\n")
    (project.directory / "numbers_app.py").write_text("three = 3\n")
    with open(project.config, "a") as file:
        file.write(f'[bench]\nmine = "{target}"\n')
    try:
        assert said in refused("bench", "mine")
    finally:
        sys.modules.pop("numbers_app", None)


# --- --db


def test_a_database_that_is_none(refused, project):
    (project.directory / "text.db").write_text("no database, just words\n" * 100)
    (project.directory / "empty.db").write_bytes(b"")
    (project.directory / "short.db").write_bytes(b"SQLite format 3\x00")
    for path, said in [
        ("nowhere.db", "nowhere.db is not there; expected the path of a SQLite database"),
        ("crashlab.toml/x.db", "is not there"),
        (".", ". is a directory; expected the path of a SQLite database"),
        ("text.db", "text.db is no SQLite database"),
        ("short.db", "short.db is no SQLite database"),
        ("empty.db", "empty.db has zero length"),
    ]:
        assert said in refused("gate", "--db", path)


@needs_posix_modes
def test_a_database_that_cannot_be_read(refused, project):
    path = project.directory / "secret.db"
    path.write_bytes(b"SQLite format 3\x00" + bytes(4080))
    path.chmod(0)
    assert "can't be read: permission denied" in refused("gate", "--db", path)
