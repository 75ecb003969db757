"""Each recipe finds its planted bug, and leaves the correct twin in peace."""

import os
import shutil
import sqlite3

import pytest

from crashlab import SubjectError, UsageError, recipes
from crashlab.sqlite.tap import tap_problem

pytestmark = pytest.mark.skipif(tap_problem() is not None, reason="computed crash states need the tap")
STATES = 150
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def synced(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def connected(path):
    return sqlite3.connect(path, isolation_level=None)


def transferred(source, target):
    there, here = connected(source), connected(target)
    there.backup(here)
    here.close()
    there.close()


def copies_the_file(source, target):
    shutil.copy(source, target)


def backs_up(source, target, *, sync=True):
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    transferred(source, part)
    if sync:
        synced(part)
    os.replace(part, target)
    if sync:
        synced(target.parent)


def forgets_the_directory(source, target):
    backs_up(source, target, sync=False)


def backs_up_in_place(source, target):
    transferred(source, target)


def makes_an_empty_one(source, target):
    connected(target).execute("VACUUM")


def copies_the_files(source, target):
    for file in source.iterdir():
        if not file.name.endswith(("-wal", "-shm")):
            shutil.copy(file, target)


def brings_a_backup(source, target):
    backs_up(source / "app.db", target / "app.db")


def copies_over(backup, target):
    shutil.copy(backup, target)


def transfers_back(backup, target):
    transferred(backup, target)


def version_1(path):
    con = connected(path)
    con.executescript("CREATE TABLE t(a); INSERT INTO t VALUES(1), (2); PRAGMA user_version=1")
    con.close()


def bumps_outside(path):
    con = connected(path)
    if con.execute("PRAGMA user_version").fetchone()[0] < 2:
        con.execute("ALTER TABLE t ADD COLUMN b")
        con.execute("PRAGMA user_version=2")
    con.close()


def bumps_inside(path):
    con = connected(path)
    con.execute("BEGIN IMMEDIATE")
    if con.execute("PRAGMA user_version").fetchone()[0] < 2:
        con.execute("ALTER TABLE t ADD COLUMN b")
        con.execute("PRAGMA user_version=2")
    con.execute("COMMIT")
    con.close()


def carries_it(path, job):
    con = connected(path)
    con.execute("SELECT count(*) FROM ledger").fetchone()
    pid = os.fork()
    if not pid:
        job(con)
    con.close()
    os.waitpid(pid, 0)


def closes_first(path, job):
    con = connected(path)
    con.execute("SELECT count(*) FROM ledger").fetchone()
    con.close()
    pid = os.fork()
    if not pid:
        job(connected(path))
    os.waitpid(pid, 0)


def reads_its_header(path):
    with open(path, "rb") as file:
        file.read(16)


def asks_sqlite(path):
    con = connected(path)
    con.execute("PRAGMA quick_check").fetchall()
    con.close()


def renames(path):
    os.rename(path, path.with_suffix(".1"))


def vacuums_into(path):
    con = connected(path)
    con.execute("VACUUM INTO ?", (str(path.with_suffix(".1")),))
    con.close()


SLOW = pytest.mark.slow
TRACED = [
    pytest.param(recipes.backup, copies_the_file, backs_up, {}, {"complete", "acked-rows", "claimed"}),
    pytest.param(recipes.backup, makes_an_empty_one, backs_up, {}, {"acked-rows", "complete", "claimed"}, marks=SLOW),
    pytest.param(
        recipes.sync_folder, copies_the_files, brings_a_backup, {}, {"complete", "acked-rows", "claimed"}, marks=SLOW
    ),
    pytest.param(recipes.restore, copies_over, transfers_back, {}, {"restored", "one-or-the-other"}, marks=SLOW),
    pytest.param(recipes.migration, bumps_outside, bumps_inside, {"make": version_1}, {"finishes"}, marks=SLOW),
]
PLAYED = [
    pytest.param(recipes.fork, carries_it, closes_first, marks=needs_fork),
    pytest.param(recipes.second_opener, reads_its_header, asks_sqlite),
    pytest.param(recipes.log_rotation, renames, vacuums_into, marks=SLOW),
]


def _name(value):
    return getattr(value, "__name__", "")


def invariants(result):
    return {finding.invariant.removeprefix("recipe/") for finding in result.findings}


@pytest.mark.parametrize(("recipe", "broken", "sound", "more", "wanted"), TRACED, ids=_name)
def test_the_planted_bug_is_found_and_its_twin_left_in_peace(recipe, broken, sound, more, wanted, tmp_path):
    found = recipe(broken, states=STATES, results=tmp_path, **more)
    assert invariants(found)
    assert invariants(found) <= wanted
    for finding in found.findings:
        assert (finding.case / "evidence").is_dir()
        assert finding.commands["replay"] == f"recipes.{recipe.__name__}(…, replay={str(finding.case)!r})"
        again = recipe(broken, replay=finding.case, **more)
        assert (finding.invariant, finding.fault) in {(each.invariant, each.fault) for each in again.findings}
    twin = recipe(sound, states=STATES, results=tmp_path, **more)
    twin.assert_passed()
    assert twin.states >= 2 * STATES


def test_a_case_of_another_recipe_is_refused_by_name(tmp_path):
    found = recipes.backup(copies_the_file, faults="kill", states=40, results=tmp_path)
    with pytest.raises(UsageError, match=r"is of backup\.copies_the_file; expected one of recipes\.restore"):
        recipes.restore(copies_over, replay=found.findings[0].case)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backup", "wanted"),
    [(forgets_the_directory, {("claimed", "power loss")}), (backs_up_in_place, {("complete", "process death")})],
    ids=_name,
)
def test_a_backup_that_is_nearly_right_fails_where_it_is_wrong(backup, wanted, tmp_path):
    found = recipes.backup(backup, states=400, results=tmp_path)
    assert wanted <= {(each.invariant.removeprefix("recipe/"), each.fault_class) for each in found.findings}
    assert "acked-rows" not in {each.invariant for each in found.findings if each.fault_class == "process death"}


@pytest.mark.parametrize(("recipe", "broken", "sound"), PLAYED, ids=_name)
def test_a_neighbour_that_loses_rows_is_found_and_its_twin_left_in_peace(recipe, broken, sound, tmp_path):
    found = recipe(broken, plays=1, results=tmp_path)
    assert invariants(found) == {"acked-rows"}
    assert found.findings[0].fault_class == "interference"
    twin = recipe(sound, plays=1, results=tmp_path)
    twin.assert_passed()
    assert "1 play ended by a kill" in twin.summary


def _raises(*_):
    raise ValueError("its own mistake")


def _starts_nothing(path, job):
    pass


@pytest.mark.slow
def test_a_function_that_fails_by_itself_is_told_as_such(tmp_path):
    for recipe in (recipes.backup, recipes.second_opener):
        with pytest.raises(SubjectError, match=r"ValueError: its own mistake"):
            recipe(_named, results=tmp_path)
    with pytest.raises(SubjectError, match="let the worker call job"):
        recipes.fork(_starts_nothing, plays=1, results=tmp_path)
    assert not list(tmp_path.iterdir())


def _named(source, target=None):
    _raises(source)
