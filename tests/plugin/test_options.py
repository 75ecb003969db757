"""Options: checked in one line, and marker over command line over environment over ini file."""

import pytest

BAD = {
    "seed": (["--crashlab-seed=x"], "--crashlab-seed: 'x', expected a whole number"),
    "budget": (["--crashlab-budget=10parsecs"], "--crashlab-budget '10parsecs': expected a duration"),
    "config": (["--crashlab-config=nope.toml"], "--crashlab-config: nope.toml is not there"),
    "dir": (["--crashlab-dir=pytest.ini"], "--crashlab-dir: pytest.ini is a file"),
    "ini": (["-o", "crashlab_seed=abc"], "crashlab_seed"),
    "subject": (["--crashlab-gate", "--crashlab-subject=goood"], "did you mean 'good'?"),
}


@pytest.mark.parametrize(("args", "text"), BAD.values(), ids=BAD)
def test_a_bad_value_is_a_usage_error_in_one_line(project, args, text):
    session = project.pytest(*args)
    assert session.code == 4
    (line,) = [line for line in session.err.splitlines() if line.strip()]
    assert line.startswith("ERROR: ")
    assert text in line


def test_a_gate_without_configuration_says_what_to_write(project):
    (project.directory / "crashlab.toml").unlink()
    session = project.pytest("--crashlab-gate")
    assert session.code == 4
    assert "no crashlab.toml in" in session.err


EXPECT = """
from crashlab.pytest_plugin.settings import SETTINGS

def test_option(pytestconfig):
    assert pytestconfig.stash[SETTINGS].seed == {seed}
"""
MARKED = """
import pytest

@pytest.mark.crashlab(seed=70, trials=2, budget="20s")
def test_marker(crashlab):
    marked = crashlab.run("small_workload:Good", fault="none")
    assert (marked.seed, len(marked.outcomes)) == (70, 2)
    told = crashlab.run("small_workload:Good", fault="none", seed=80, trials=1)
    assert (told.seed, len(told.outcomes)) == (80, 1)

def test_option_reaches_trials(crashlab):
    assert crashlab.run("small_workload:Good", fault="none", trials=1).seed == 5
"""


def test_marker_beats_command_line_beats_environment_beats_ini(project):
    project.write("pytest.ini", "[pytest]\ncrashlab_seed = 3\n")
    project.write("test_seed.py", EXPECT.format(seed=3))
    session = project.pytest()
    assert session.code == 0, session.out
    assert "crashlab: seed 3 (crashlab_seed)" in session.out
    project.write("test_seed.py", EXPECT.format(seed=4))
    session = project.pytest(CRASHLAB_SEED="4")
    assert session.code == 0, session.out
    project.write("test_seed.py", EXPECT.format(seed=5) + MARKED)
    # An xdist worker gets the controller's values, not those of its own environment and ini file.
    session = project.pytest("--crashlab-seed=5", "-n1", "--strict-markers", CRASHLAB_SEED="4")
    assert session.code == 0, session.out
    assert "crashlab: seed 5 (--crashlab-seed)" in session.out


def test_the_header_is_silent_when_nothing_is_asked_for_and_the_marker_is_documented(project):
    project.write("test_nothing.py", "def test_nothing(): pass\n")
    session = project.pytest()
    assert session.code == 0
    assert not session.lines("crashlab:")
    assert project.runs() == []
    assert "@pytest.mark.crashlab(*, seed=None, trials=None, budget=None)" in project.pytest("--markers").out


def test_a_marker_that_makes_no_sense_fails_its_test_alone(project):
    project.write(
        "test_marker.py",
        "import pytest\n"
        "@pytest.mark.crashlab(sede=1)\ndef test_a(): pass\n"
        "@pytest.mark.crashlab(trials=0)\ndef test_b(): pass\n"
        "@pytest.mark.crashlab(7)\ndef test_c(): pass\n"
        "def test_d(): pass\n",
    )
    session = project.pytest()
    assert session.code == 1
    assert "1 passed, 3 errors" in session.out
    assert "no keyword 'sede', there are: seed, trials, budget; did you mean 'seed'?" in session.out
    assert "@pytest.mark.crashlab(trials=…): 0, expected a whole number 1 to 1000000" in session.out
    assert "takes keywords only (seed, trials, budget), got (7,)" in session.out
