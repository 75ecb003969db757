"""Every exhibit and its control, on real files: each shows what it says, and nothing is left behind."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from crashlab.gallery import find_exhibits
from crashlab.gallery.exhibit import CLEAN, Kind
from crashlab.gallery.host import Host
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.repeat import play_all
from crashlab.gallery.s38.tour import CANDIDATES, tour
from crashlab.gallery.telling import Result

EXHIBITS = load_exhibits()
WANTED = {
    "A": range(1, 10),
    "B": (1,),
    "C": (1, 2),
    "D": range(1, 6),
    "E": range(1, 8),
    "F": (1, 3),
    "G": (1,),
    "H": range(1, 10),
}
LETTERS = [f"{letter}{number}" for letter, numbers in WANTED.items() for number in numbers] + ["I"]


@pytest.fixture(scope="module")
def host():
    with Host() as host:
        yield host


def told(telling):
    return f"{telling.why} {telling.differs}"


@pytest.mark.parametrize("name", [name for name, each in EXHIBITS.items() if each.in_default_run])
def test_an_exhibit_shows_its_picture_and_its_control_does_not(host, name):
    exhibit = EXHIBITS[name]
    run = host.play(exhibit, 11, control=False)
    if run.result is Result.SKIPPED:
        pytest.skip(run.why)
    control = host.play(exhibit, 11, control=True)
    assert run.result is Result.AS_EXPECTED, told(run)
    assert control.result is Result.AS_EXPECTED, told(control)
    version = tuple(map(int, run.sqlite.split(".")))
    damage, innocent = (control, run) if exhibit.kind is Kind.ACQUITTAL else (run, control)
    assert damage.showed is exhibit.affected.covers(version)
    assert not innocent.showed
    assert run.moments
    assert control.moments


@pytest.mark.parametrize("letter", LETTERS)
def test_every_mechanism_has_an_exhibit(letter):
    assert [each for each in EXHIBITS.values() if each.letter == letter]


@pytest.mark.parametrize("exhibit", EXHIBITS.values(), ids=EXHIBITS)
def test_an_exhibit_says_all_that_a_reader_needs(exhibit):
    assert exhibit.id == exhibit.id.casefold()
    assert len(exhibit.title) <= 110
    for text in (exhibit.happens, exhibit.control, exhibit.symptom, exhibit.affected.says, *exhibit.advice):
        assert text.strip() == text != ""
    assert exhibit.advice
    # a picture that a clean run also shows proves nothing
    assert any(exhibit.clean.get(name, CLEAN.get(name)) != value for name, value in exhibit.picture.items())


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_twenty_of_twenty_against_none_of_twenty():
    gallery = play_all(find_exhibits("all"), runs=20, deadline_s=480.0)
    assert not gallery.stopped
    for tally in gallery.tallies:
        if tally.result is not Result.SKIPPED:
            first = tally.first(tally.result)
            assert tally.result is Result.AS_EXPECTED, (tally.exhibit, first and told(first))
    assert gallery.exit_code == 0


def test_the_same_seed_tells_the_same_story(host):
    first, second = (host.play(EXHIBITS["a1-kill"], 5, control=False) for _ in range(2))
    assert first.rows == second.rows
    assert first.features == second.features
    assert [moment.done for moment in first.moments] == [moment.done for moment in second.moments]
    other = host.play(EXHIBITS["a1-kill"], 6, control=False)
    assert other.rows != first.rows


def test_nothing_is_left_behind(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = set(psutil.Process().children(recursive=True))
    descriptors = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    from crashlab.engine.workspace import Workspace

    with Workspace(str(scratch)) as workspace, Host(workspace=workspace) as host:
        host.play(EXHIBITS["a1-kill"], 1, control=False)
        assert [path for path in workspace.root.iterdir() if path.is_dir()] == []
    assert list(scratch.iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) <= before
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == descriptors


def repro(*arguments, cwd):
    command = [sys.executable, "-m", "crashlab", "repro", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


def test_one_exhibit_is_a_story_and_many_are_a_table(tmp_path):
    story = repro("A1-kill", cwd=tmp_path)
    assert story.returncode == 0, story.stderr
    for text in ("How it happens", "the control", "acked rows lost", "(deleted)", "Reproduced", "What to do"):
        assert text in story.stdout
    table = repro("a1-kill", "--runs", "3", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    assert "3/3" in table.stdout
    assert "0/3" in table.stdout
    assert not list(tmp_path.iterdir())


def test_the_files_of_a_run_can_be_kept_and_are_never_overwritten(tmp_path):
    kept = repro("a1-kill", "--keep", "files", cwd=tmp_path)
    assert kept.returncode == 0, kept.stderr
    assert (tmp_path / "files" / "state.db").stat().st_size
    again = repro("a1-kill", "--keep", "files", cwd=tmp_path)
    assert again.returncode == 2
    assert "never overwritten" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a1-kil",), "did you mean 'a1-kill'"),
        ((), "no exhibit named"),
        (("a1-kill", "--sqlite", "apsw=nowhere"), "pip install --target"),
        (("a1-kill", "--sqlite", "other"), "expected stdlib or apsw=DIRECTORY"),
        (("a1-kill", "--on", "handle"), "about s38 alone"),
        (("a1", "--keep", "x"), "one run of one exhibit"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path):
    result = repro(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_exhibit_that_hangs_dies_or_breaks_is_an_error_and_never_a_pass(tmp_path):
    planted = Path(__file__).with_name("planted_exhibits.py")
    for name, says in (("hangs", "no end within"), ("dies", "SIGBUS"), ("breaks", "ZeroDivisionError")):
        code = f"import sys; sys.argv[1:] = ['stdlib']; exec(open({str(planted)!r}).read())"
        order = f'{{"exhibit":"{name}","seed":1,"control":false,"directory":"{tmp_path}/{name}"}}\n'
        (tmp_path / name).mkdir()
        result = subprocess.run(
            [sys.executable, "-c", code], input=order, capture_output=True, text=True, timeout=60, check=False
        )
        assert '"result":"error"' in result.stdout, result.stderr
        assert says in result.stdout


@pytest.fixture(scope="session")
def apsw(tmp_path_factory):
    """Return a function that puts an apsw somewhere; skips, with pip's last word, where it can't be had."""

    def install(version):
        target = tmp_path_factory.mktemp("apsw")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(target),
            f"apsw=={version}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"apsw {version} is not to be had: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return target

    return install


@pytest.mark.slow
@pytest.mark.parametrize(("version", "damaged"), [("3.51.2.0", True), ("3.51.3.0", False)])
def test_the_wal_reset_bug_is_there_in_affected_versions_and_in_no_other(apsw, version, damaged):
    gallery = play_all(find_exhibits("b1"), runs=3, sqlite=f"apsw={apsw(version)}", deadline_s=120.0)
    assert not gallery.stopped
    for tally in gallery.tallies:
        assert tally.result is Result.AS_EXPECTED, (tally.exhibit, tally.first(tally.result))
        assert tally.runs[0].sqlite == version.removesuffix(".0")
        assert (tally.shown, tally.control_shown) == ((3, 0) if damaged else (0, 0))


def test_the_tour_tells_apart_what_leaves_a_malformed_file_and_what_cannot():
    rows = {row.exhibit: row for row in tour(3, 1, deadline_s=120.0)}
    assert list(rows) == [candidate.exhibit for candidate in CANDIDATES]
    assert not [row for row in rows.values() if row.not_run]
    can = ("c1-s38", "a1-corrupt", "a3-malformed", "b1-torn", "d2", "c2-malformed")
    here = {name for name in can if EXHIBITS[name].affected.covers(sqlite3.sqlite_version_info)}
    assert {name for name, row in rows.items() if row.malformed} == here
    assert {name for name, row in rows.items() if not row.lost} >= {"i-close", "i-kill", "i-kill-inside", "i-normal"}
