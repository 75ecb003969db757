import sqlite3
from dataclasses import replace

import pytest

from crashlab.sqlite.advisories import ADVISORIES, advisories_for
from crashlab.sqlite.library import find_library


def named(name):
    return next(advisory for advisory in ADVISORIES if advisory.name == name)


def test_the_library_found_is_the_one_that_runs():
    library = find_library()
    assert library.version == sqlite3.sqlite_version
    assert library.version_info == sqlite3.sqlite_version_info
    assert library.threadsafety == sqlite3.threadsafety
    assert library.module == "sqlite3"
    assert library.source_id[:4].isdigit()
    assert library.has("THREADSAFE")
    assert library.has(library.compile_options[0])
    assert not library.has("NO_SUCH_OPTION")
    assert library.path is None or "sqlite3" in library.path


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 7), False),
        ((3, 45, 0), True),
        ((3, 50, 4), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 54, 1), False),
        ((4, 0, 0), False),
    ],
)
def test_the_wal_reset_range_with_its_backports(version, affected):
    assert named("wal-reset").covers(version) is affected
    library = replace(find_library(), version_info=version)
    assert ("wal-reset" in {advisory.name for advisory in advisories_for(library)}) is affected


def test_four_part_versions_and_platforms():
    race = named("windows-recovery-race")
    assert race.covers((3, 7, 16, 1), "win32")
    assert race.covers((3, 7, 16), "win32")
    assert not race.covers((3, 7, 16, 2), "win32")
    assert not race.covers((3, 7, 16, 1), "linux")


def test_the_wording_claims_a_range_and_not_more():
    line = named("wal-reset").describe("3.40.1")
    assert line == (
        "SQLite 3.40.1 is in the affected range of the WAL-reset bug (fixed in 3.51.3, 3.50.7, 3.44.6): "
        "https://sqlite.org/wal.html#walresetbug"
    )


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda advisory: advisory.name)
def test_every_advisory_is_well_formed(advisory):
    assert advisory.first < advisory.fixed
    assert all(advisory.first < backport < advisory.fixed for backport in advisory.backports)
    platform = advisory.systems[0] if advisory.systems else "linux"
    assert advisory.covers(advisory.first, platform)
    assert not advisory.covers(advisory.fixed, platform)
    assert advisory.link.startswith("https://sqlite.org/")
    assert advisory.needs


def test_names_are_unique():
    assert len({advisory.name for advisory in ADVISORIES}) == len(ADVISORIES)
