"""No false alarm on real suites: every hazard that they show is one that a test plants on purpose."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
SECONDS = 900

pytestmark = pytest.mark.timeout(1200)

STORE = {
    "test_backup.py::test_a_file_copy_misses_rows_and_the_verification_says_so",  # copied-while-open, wal-reset
    "test_backup.py::test_a_vanished_source_is_not_recreated_by_its_backup",  # removed-while-open
    "test_locking.py::test_two_processes_worth_of_stores_can_start_on_one_new_file",  # wal-reset: two stores
    "test_startup.py::test_a_locked_database_is_an_error_not_damage",  # dropped-transaction
    "test_startup.py::test_what_sqlite_alone_does_to_an_empty_main_file",  # empty-main
}
"""Tests of the store that do on purpose what the watch tells of."""


def alarms(directory: Path, *arguments: str, path: tuple[Path, ...] = ()) -> dict[str, set[str]]:
    """Run a suite under the watch; return test → hazards."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CRASHLAB", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "--crashlab-hazards=warn", *arguments],
        cwd=directory,
        env={**kept, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert re.search(r"\d+ passed", done.stdout)
    section = done.stdout.partition("crashlab hazards ==")[2]
    assert "not seen here" not in section
    assert "please report" not in section
    found: dict[str, set[str]] = {}
    kind = ""
    for line in section.splitlines():
        head = re.match(r"([a-z-]+) \[(?:danger|risk)\] ", line)
        test = re.match(r"  test      (\S+)", line)
        if head:
            kind = head[1]
        elif test:
            found.setdefault(test[1], set()).add(kind)
    return found


@pytest.mark.slow
def test_the_store_s_own_tests_show_only_what_they_plant():
    found = alarms(ROOT, "tests/store", "-n0")
    assert {test.removeprefix("tests/store/") for test in found} <= STORE, found


@pytest.mark.slow
def test_the_workloads_tests_show_nothing():
    assert alarms(ROOT, "tests/harness", "-n0") == {}


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("package", "needs", "options", "known"),
    [
        # Its test of the context manager closes without a commit, to show that the rows are gone.
        (
            "sqlite-utils==4.2.1",
            ("sqlite-utils==4.2.1",),
            (),
            {"tests/test_constructor.py::test_database_context_manager": {"dropped-transaction"}},
        ),
        # Several of its tests write through two connections at once, which is a risk on an affected SQLite.
        (
            "diskcache==5.6.3",
            (),
            (
                "--crashlab-hazards-ignore=wal-reset",
                "--ignore=tests/test_djangocache.py",
                "--ignore=tests/test_doctest.py",
            ),
            {},
        ),
    ],
    ids=["sqlite-utils", "diskcache"],
)
def test_suites_of_well_known_packages_show_nothing_else(tmp_path, package, needs, options, known):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    site, source = tmp_path / "site", tmp_path / "source"
    site.mkdir()
    fetch = [*pip, "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(source), package]
    install = [*pip, "install", "-q", "--target", str(site), *needs]
    for command in (fetch, install) if needs else (fetch,):
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            pytest.skip(f"{package} is not installable here: {done.stderr.strip()[-200:]}")
    (archive,) = source.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(source, filter="data")
    (directory,) = (each for each in source.iterdir() if each.is_dir())
    assert alarms(directory, "tests", "-n0", *options, path=(directory, site)) == known
