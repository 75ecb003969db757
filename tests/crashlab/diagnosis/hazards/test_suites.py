"""No false alarm on real suites: every hazard that they show is one that a test plants on purpose."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[4]
SECONDS = 900

pytestmark = pytest.mark.timeout(1200)


class Alarm(NamedTuple):
    """A hazard of a suite: its id, the file whose line did it, the test."""

    id: str
    file: str
    test: str


def alarms(directory: Path, *arguments: str, path: tuple[Path, ...] = ()) -> set[Alarm]:
    """Run a suite under the watch; return what it showed."""
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
    found: set[Alarm] = set()
    kind = file = ""
    for line in section.splitlines():
        if head := re.match(r"([a-z-]+) \[(?:danger|risk)\] ", line):
            kind = head[1]
        elif place := re.match(r"  at        (\S+):\d+ in ", line):
            file = place[1]
        elif test := re.match(r"  test      (\S+)", line):
            found.add(Alarm(kind, file, test[1]))
    return found


@pytest.mark.slow
def test_the_store_shows_nothing_but_what_its_tests_do_to_its_files():
    """They copy, remove and replace live files on purpose; two stores on one file are a risk on an affected SQLite."""
    found = alarms(ROOT, "tests/store", "-n0", "--crashlab-hazards-ignore=wal-reset")
    assert {alarm.file.partition("/")[0] for alarm in found} == {"tests"}, found


@pytest.mark.nightly
def test_the_workloads_tests_show_nothing():
    # The machines are the lab itself: they put crash states into place and open two ledgers in one process. The
    # comparison of policies fills its databases with synchronous=OFF.
    leave_out = ("--ignore=tests/harness/machines", "--ignore=tests/harness/test_memory_policies.py")
    assert alarms(ROOT, "tests/harness", *leave_out, "-n0") == set()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("package", "needs", "options", "known"),
    [
        # Its test of the context manager closes without a commit, to show that the rows are gone.
        (
            "sqlite-utils==4.2.1",
            ("sqlite-utils==4.2.1",),
            ("--deselect=tests/test_cli_bulk.py::test_cli_bulk_batch_size",),  # waits a fixed time for a child
            {("dropped-transaction", "sqlite_utils/db.py", "tests/test_constructor.py::test_database_context_manager")},
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
            set(),
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
