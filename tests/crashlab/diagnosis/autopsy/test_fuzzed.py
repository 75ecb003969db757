"""SQLite's own fuzzed databases, where somebody has them: no crash, no hang, no byte of an original changed.

``apt-get source sqlite3`` (Debian) and ``CRASHLAB_FUZZED=sqlite3-*/test pytest -m nightly`` on this file. Each
``fuzzdata*.db`` holds many databases as blobs of its table `db`; other ``*.db`` files are taken as they are.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from crashlab.diagnosis.autopsy import autopsy
from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.signs import verdict_of, with_checks
from crashlab.sqlite.files import Triplet

PLACE = os.environ.get("CRASHLAB_FUZZED", "")
SECONDS_MAX = 5.0
EVERY = 250  # one in so many goes through the whole autopsy, which lets SQLite open a copy

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not PLACE, reason="CRASHLAB_FUZZED names no directory with SQLite's fuzzdata*.db"),
]


def databases(path):
    """The databases in one file: its blobs, or itself."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            yield from (blob for (blob,) in connection.execute("select dbcontent from db") if isinstance(blob, bytes))
        except sqlite3.Error:
            yield path.read_bytes()


def test_the_fuzzed_databases_of_sqlite(tmp_path):
    files = sorted(Path(PLACE).glob("*.db"))
    assert files, f"no *.db in CRASHLAB_FUZZED={PLACE}"
    count, slowest = 0, 0.0
    original = tmp_path / "fuzzed.db"
    for file in files:
        for data in databases(file):
            original.write_bytes(data)
            began = time.monotonic()
            features = with_checks(examine(Triplet.of(original), keys=True).features, {})
            rank(features)
            verdict_of(features, unchanged=True)
            slowest = max(slowest, time.monotonic() - began)
            if not count % EVERY:
                assert autopsy(original).unchanged
            assert original.read_bytes() == data
            count += 1
    print(f"{count} fuzzed databases, the slowest took {slowest:.2f} s")
    assert slowest < SECONDS_MAX
