"""`crashlab init`: what it writes works at once, fits the project, and overwrites nothing."""

import os
import subprocess
import sys
import tomllib

import pytest


@pytest.fixture
def place(crashlab, tmp_path, monkeypatch):
    directory = tmp_path / "place"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def everything(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def test_an_empty_directory_gets_a_verdict_at_once(crashlab, place):
    answer = crashlab("init")
    assert answer.code == 0, answer
    assert everything(place) == ["crashlab.toml", "tests/crashlab_workload.py", "tests/test_crashlab.py"]
    commands = answer.out.partition("next:\n")[2].splitlines()
    assert [line.strip() for line in commands] == ["crashlab run", "python -m pytest tests/test_crashlab.py"]
    ran = crashlab("run", "--trials", 10)
    assert ran.code == 0, ran
    assert ran.out.startswith("0/10")


@pytest.mark.slow
def test_its_test_passes_at_once(crashlab, place):
    crashlab("init")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "-pno:xdist", "tests/test_crashlab.py"],
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CRASHLAB_"))},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.nightly
def test_its_gate_says_go(crashlab, place):
    crashlab("init")
    answer = crashlab("gate")
    out_of_time = "time budget was used up" in " ".join(answer.out.split())  # on a busy machine
    assert answer.code == (3 if out_of_time else 0), answer


def test_a_src_layout_with_testpaths_of_its_own(crashlab, place):
    (place / "src" / "shop").mkdir(parents=True)
    (place / "src" / "shop" / "__init__.py").write_text("")
    (place / "src" / "shop" / "db.py").write_text("import sqlite3\n\ndb = sqlite3.connect('shop.db')\n")
    (place / "checks").mkdir()
    (place / "pyproject.toml").write_text(
        '[project]\nname = "The Shop"\n[tool.pytest.ini_options]\ntestpaths = "checks"\n'
    )
    answer = crashlab("init")
    assert answer.code == 0, answer
    assert "src/shop/db.py:3 opens a database" in answer.out
    written = tomllib.loads((place / "crashlab.toml").read_text())
    assert written["path"] == ["checks", "src"]
    assert list(written["subjects"]) == ["The-Shop"]
    assert (place / "checks" / "test_crashlab.py").is_file()
    assert crashlab("run", "--trials", 2).code == 0


def test_a_flat_project_keeps_its_name(crashlab, place):
    (place / "bot").mkdir()
    (place / "bot" / "__init__.py").write_text("")
    (place / "test").mkdir()
    (place / ".venv" / "lib").mkdir(parents=True)
    (place / ".venv" / "lib" / "other.py").write_text("sqlite3.connect('x')")
    answer = crashlab("init")
    assert answer.code == 0, answer
    assert "opens a database" not in answer.out
    written = tomllib.loads((place / "crashlab.toml").read_text())
    assert (written["path"], list(written["subjects"])) == (["test", "."], ["bot"])


def test_a_workload_that_is_there_is_used(crashlab, place):
    answer = crashlab("init", "--workload", "bot.lab:workload")
    assert answer.code == 0, answer
    assert everything(place) == ["crashlab.toml", "tests/test_crashlab.py"]
    assert tomllib.loads((place / "crashlab.toml").read_text())["subjects"]["app"] == {"workload": "bot.lab:workload"}
    assert "module 'bot.lab' does not import" in crashlab("run").err


@pytest.mark.parametrize("there", ["crashlab.toml", "tests/crashlab_workload.py", "tests/test_crashlab.py"])
def test_nothing_is_overwritten_and_nothing_half_done(crashlab, place, there):
    (place / "tests").mkdir()
    (place / there).write_text("mine")
    answer = crashlab("init")
    assert answer.code == 2
    assert (
        answer.err
        == f"crashlab: {there.replace('/', os.sep)} is there already and is never overwritten; nothing was written\n"
    )
    assert everything(place) == [there]
    assert (place / there).read_text() == "mine"


def test_what_cannot_be_written_leaves_nothing(crashlab, place):
    (place / "pyproject.toml").write_text('[tool.pytest]\ntestpaths = ["tests"]\n')
    (place / "tests").write_text("a file, where the tests' directory would be")
    answer = crashlab("init")
    assert answer.code == 2
    assert "cannot be written: " in answer.err
    assert "nothing was written" in answer.err
    assert everything(place) == ["pyproject.toml", "tests"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "nowhere is not there; expected the directory of a project"),
        (["file"], "file is no directory; expected the directory of a project"),
        (["--workload", "a.b"], "--workload 'a.b': expected MODULE:ATTR, such as 'myapp.lab:workload'"),
        (["--wrokload", "a:b"], "Did you mean '--workload'?"),
    ],
)
def test_bad_input(crashlab, place, args, said):
    (place / "file").write_text("")
    answer = crashlab("init", *args)
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
    assert everything(place) == ["file"]


def test_a_pyproject_that_is_no_toml(crashlab, place):
    (place / "pyproject.toml").write_text("no TOML")
    answer = crashlab("init")
    assert (answer.code, everything(place)) == (2, ["pyproject.toml"])
    assert "pyproject.toml is not TOML" in answer.err
