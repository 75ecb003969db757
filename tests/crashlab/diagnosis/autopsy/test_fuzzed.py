"""SQLite's own fuzzed databases, where somebody has them: no crash, no hang, no byte of an original changed.

``apt-get source sqlite3`` (Debian) and ``CRASHLAB_FUZZED=sqlite3-*/test pytest -m nightly`` on this file. Each
``fuzzdata*.db`` holds many databases as blobs of its table `db`, or is one; some 10,000 take five minutes.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

PLACE = os.environ.get("CRASHLAB_FUZZED", "")
EVERY = 50  # one in so many goes through the whole autopsy, which lets SQLite open a copy

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not PLACE, reason="CRASHLAB_FUZZED names no directory with SQLite's fuzzdata*.db"),
]


def databases(path):
    """The databases in one file: its blobs, and itself."""
    yield path.read_bytes()
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            yield from (blob for (blob,) in connection.execute("select dbcontent from db") if isinstance(blob, bytes))
        except sqlite3.Error:
            return


def test_the_fuzzed_databases_of_sqlite(tmp_path, looked_at):
    files = sorted(Path(PLACE).glob("*.db"))
    assert files, f"no *.db in CRASHLAB_FUZZED={PLACE}"
    original = tmp_path / "fuzzed.db"
    for file in files:
        for data in databases(file):
            original.write_bytes(data)
            looked_at(original, whole=not looked_at.count % EVERY)
        print(f"after {file.name}: {looked_at}", flush=True)
    assert looked_at.slowest < looked_at.SECONDS_MAX
