import hashlib
import os

import pytest
from real_databases import wal_database

from crashlab.errors import LabError, LimitError, UsageError
from crashlab.sqlite.files import Triplet


def test_paths_are_those_that_sqlite_uses(tmp_path):
    _, _, connection = wal_database(tmp_path)
    triplet = Triplet.of(tmp_path / "a.db")
    assert {path.name for path in triplet.existing()} == {"a.db", "a.db-wal", "a.db-shm"}
    assert triplet.sizes()["a.db-wal"] == os.stat(triplet.wal).st_size
    connection.close()
    assert Triplet.of("x.db").existing() == ()
    assert Triplet.of("x.db").sizes() == {}


def test_copies_are_byte_for_byte_and_hashed(tmp_path):
    main, wal, connection = wal_database(tmp_path)
    connection.close()
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.db").write_bytes(main)
    (source / "a.db-wal").write_bytes(wal)
    (tmp_path / "copy").mkdir()
    copy = Triplet.of(source / "a.db").copy_into(tmp_path / "copy")
    assert copy.main.read_bytes() == main
    assert copy.wal.read_bytes() == wal
    assert not copy.shm.exists()
    facts = copy.facts()
    assert set(facts) == {"a.db", "a.db-wal"}
    assert facts["a.db"].sha256 == hashlib.sha256(main).hexdigest()
    assert facts["a.db-wal"].size == len(wal)
    assert facts["a.db"].inode == os.stat(copy.main).st_ino


def test_nothing_is_ever_overwritten(tmp_path):
    (tmp_path / "a.db").write_bytes(b"one")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "a.db-journal").write_bytes(b"mine")
    with pytest.raises(UsageError, match="never overwritten"):
        Triplet.of(tmp_path / "a.db").copy_into(tmp_path / "copy")
    assert os.listdir(tmp_path / "copy") == ["a.db-journal"]
    with pytest.raises(UsageError, match="never overwritten"):
        Triplet.of(tmp_path / "a.db").copy_into(tmp_path)


def test_the_limit_is_looked_at_before_a_byte_is_copied(tmp_path):
    (tmp_path / "a.db").write_bytes(b"x" * 1000)
    (tmp_path / "copy").mkdir()
    with pytest.raises(LimitError, match="1000 bytes, the limit is 999"):
        Triplet.of(tmp_path / "a.db").copy_into(tmp_path / "copy", max_bytes=999)
    assert os.listdir(tmp_path / "copy") == []


def test_the_index_can_be_left_out(tmp_path):
    for name in ("a.db", "a.db-wal", "a.db-shm"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "copy").mkdir()
    Triplet.of(tmp_path / "a.db").copy_into(tmp_path / "copy", shm=False)
    assert sorted(os.listdir(tmp_path / "copy")) == ["a.db", "a.db-wal"]


def test_a_failed_copy_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.db").write_bytes(b"x")
    (tmp_path / "a.db-wal").mkdir()
    (tmp_path / "copy").mkdir()
    with pytest.raises(LabError, match="can't copy"):
        Triplet.of(tmp_path / "a.db").copy_into(tmp_path / "copy")
    assert os.listdir(tmp_path / "copy") == []
    with pytest.raises(LabError, match="can't read"):
        Triplet.of(tmp_path / "a.db").facts()
