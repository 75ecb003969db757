import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crashlab.faults.fault import parse_fault


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A closed database of some pages, and bytes in the place of its WAL."""
    database = tmp_path / "state.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size=1024")
        connection.execute("CREATE TABLE t(x)")
        connection.executemany("INSERT INTO t VALUES(?)", [(bytes(500),)] * 8)
    database.with_name("state.db-wal").write_bytes(bytes(range(256)) * 32)
    return database


def differing(before: bytes, after: bytes) -> list[tuple[int, int]]:
    assert len(before) == len(after)
    return [(at, a ^ b) for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]


@pytest.mark.parametrize(
    ("fault", "at", "mask"),
    [
        ("damage@main", 0, 1),
        ("damage@main+17 bit=7", 17, 128),
        ("damage@main.page#1+5", 5, 1),
        ("damage@main.page#3+17 bit=4", 2 * 1024 + 17, 16),
    ],
)
def test_one_bit_is_flipped_and_no_other(database, fault, at, mask):
    before = database.read_bytes()
    said = parse_fault(fault).apply(database)
    assert differing(before, database.read_bytes()) == [(at, mask)]
    assert f"byte {at} of state.db" in said
    parse_fault(fault).apply(database)
    assert database.read_bytes() == before


def test_a_frame_is_found_by_the_page_size_in_the_wal(database):
    wal = database.with_name("state.db-wal")
    header = bytearray(wal.read_bytes())
    header[8:12] = (1024).to_bytes(4, "big")
    wal.write_bytes(header)
    parse_fault("damage@wal.frame#3+24 bit=2").apply(database)
    assert differing(bytes(header), wal.read_bytes()) == [(32 + 2 * (24 + 1024) + 24, 4)]


def test_a_page_of_64_kib_is_written_as_one(tmp_path):
    database = tmp_path / "state.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA page_size=65536")
        connection.execute("CREATE TABLE t(x)")
        connection.commit()
    before = database.read_bytes()
    parse_fault("damage@main.page#2").apply(database)
    assert differing(before, database.read_bytes()) == [(65536, 1)]


def test_truncate_and_delete(database):
    wal = database.with_name("state.db-wal")
    before = wal.read_bytes()
    assert parse_fault("damage@wal+1000 op=truncate").apply(database) == (
        f"truncated state.db-wal from {len(before)} to 1000 bytes"
    )
    assert wal.read_bytes() == before[:1000]
    assert parse_fault("damage@wal op=delete").apply(database) == "deleted state.db-wal (1000 bytes)"
    assert not wal.exists()


@pytest.mark.parametrize(
    "fault", ["damage@journal", "damage@shm op=delete", "damage@main+99999999", "damage@wal+99999999 op=truncate"]
)
def test_where_there_is_nothing_to_damage_nothing_is_done(database, fault):
    before = {path.name: path.read_bytes() for path in database.parent.iterdir()}
    assert parse_fault(fault).apply(database) == ""
    assert {path.name: path.read_bytes() for path in database.parent.iterdir()} == before


def test_damage_is_seen_by_sqlite_and_an_undamaged_twin_is_sound(database):
    database.with_name("state.db-wal").unlink()

    def checked() -> str:
        try:
            with closing(sqlite3.connect(database)) as connection:
                return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
        except sqlite3.DatabaseError as error:
            return str(error)

    assert checked() == "ok"
    parse_fault("damage@main.page#2+0 bit=7").apply(database)
    assert checked() != "ok"
