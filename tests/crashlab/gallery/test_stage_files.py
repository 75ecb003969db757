"""What a stage reads from files that nobody has open: why the WAL's chain ended, what the index knows of it."""

import shutil
import sqlite3
import subprocess
import sys

import pytest

from crashlab.gallery.stage.ending import file_features
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.wal import parse_wal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs cp")


def copy(*arguments):
    """In a process of its own: a close() here would cancel this process's locks on the live files."""
    subprocess.run(["cp", *map(str, arguments)], check=True, timeout=30)


@pytest.fixture
def left(tmp_path):
    """Three commits in a WAL, and its index, as a kill leaves them."""
    live = tmp_path / "live"
    live.mkdir()
    connection = sqlite3.connect(live / "x.db", isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "CREATE TABLE t(v)", "INSERT INTO t VALUES(1)"):
        connection.execute(statement)
    dead = tmp_path / "dead"
    copy("-r", live, dead)
    connection.execute("INSERT INTO t VALUES(2)")
    copy(live / "x.db-wal", tmp_path / "longer-wal")
    connection.close()
    return Triplet.of(dead / "x.db")


def seen(triplet):
    features = file_features(triplet)
    return features["wal.end"], features["shm.frames"]


def test_a_whole_wal_and_its_own_index(left):
    assert seen(left) == ("end of file", "equal")


def test_frames_that_the_index_does_not_know(left, tmp_path):
    shutil.copyfile(tmp_path / "longer-wal", left.wal)
    assert seen(left) == ("end of file", "behind")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("last page", ("checksum", "ahead")),
        ("header", ("header invalid", "other")),
        ("end", ("partial frame", "ahead")),
    ],
)
def test_a_damaged_wal_has_fewer_frames_than_its_index(left, place, says):
    data = bytearray(left.wal.read_bytes())
    if place == "end":
        del data[-100:]
    else:
        data[16 if place == "header" else parse_wal(data).offset(2) + 50] ^= 1
    left.wal.write_bytes(data)
    assert seen(left) == says


@pytest.mark.parametrize("name", ["wal", "shm"])
def test_nothing_to_compare(left, name):
    getattr(left, name).unlink()
    assert seen(left) == ("none" if name == "wal" else "end of file", "none")
