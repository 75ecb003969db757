import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_databases import loop_checksum, wal_database

from crashlab.sqlite.shm import NOT_USED, WalIndex, parse_shm
from crashlab.sqlite.wal import parse_wal


def shm_of(directory):
    # POSIX: the index is an ordinary mapped file, and this test is the only one that has it open.
    return (directory / "a.db-shm").read_bytes()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_a_live_index_agrees_with_the_wal(tmp_path, page_size):
    _, wal, connection = wal_database(tmp_path, page_size)
    index = parse_shm(shm_of(tmp_path))
    connection.close()
    parsed = parse_wal(wal)
    assert index.problem == ""
    header = index.header
    assert header.checksum_ok
    assert header.initialised
    assert header.page_size == page_size
    assert header.max_frame == parsed.committed
    assert header.pages == parsed.database_pages
    assert header.salts == parsed.header.salts
    stored = struct.unpack_from(">2I", wal, parsed.offset(parsed.committed - 1) + 16)
    assert header.frame_checksum == stored
    assert index.backfilled == index.backfill_attempted == 0
    assert len(index.read_marks) == 5
    assert not index.impossible


def test_backfill_and_read_marks_move(tmp_path):
    _, wal, connection = wal_database(tmp_path)
    connection.execute("pragma wal_checkpoint(passive)")
    connection.execute("select count(*) from t").fetchone()
    index = parse_shm(shm_of(tmp_path))
    connection.close()
    frames = parse_wal(wal).committed
    assert index.backfilled == index.backfill_attempted == frames == index.header.max_frame
    assert index.read_marks[0] == 0
    assert NOT_USED in index.read_marks


def test_more_backfilled_than_there_is_is_impossible(tmp_path):
    _, _, connection = wal_database(tmp_path)
    data = bytearray(shm_of(tmp_path))
    connection.close()
    frames = parse_shm(data).header.max_frame
    struct.pack_into("=I", data, 96, frames)
    assert not parse_shm(data).impossible
    struct.pack_into("=I", data, 96, frames + 1)
    assert parse_shm(data).impossible


def test_differing_copies_and_wrong_checksums_are_named(tmp_path):
    _, _, connection = wal_database(tmp_path)
    data = shm_of(tmp_path)
    connection.close()
    one = bytearray(data)
    one[16] ^= 1
    assert "copies differ" in parse_shm(one).problem
    assert parse_shm(one).header is None
    both = bytearray(one)
    both[64] ^= 1
    assert parse_shm(both).problem == "header checksum mismatch"
    assert parse_shm(both).header is None


def test_an_index_from_a_machine_of_the_other_byte_order(tmp_path):
    _, _, connection = wal_database(tmp_path)
    data = shm_of(tmp_path)
    connection.close()
    big = sys.byteorder == "little"
    native, other = ("=", ">") if big else ("=", "<")
    swapped = bytearray(data[:136])
    for at in (0, 8, 16, 20, 24, 28, 96, 100, 104, 108, 112, 116, 128):
        struct.pack_into(other + "I", swapped, at, struct.unpack_from(native + "I", data, at)[0])
    struct.pack_into(other + "H", swapped, 14, struct.unpack_from(native + "H", data, 14)[0])
    struct.pack_into(other + "2I", swapped, 40, *loop_checksum(bytes(swapped[:40]), (0, 0), big))
    swapped[48:96] = swapped[:48]
    mine, theirs = parse_shm(data), parse_shm(swapped)
    assert theirs.header is not None
    assert theirs.header.max_frame == mine.header.max_frame
    assert theirs.header.salts == mine.header.salts
    assert theirs.read_marks == mine.read_marks


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "zero length"),
        (bytes(3), "3 bytes, the wal-index header has 136"),
        (bytes(32768), "all zero"),
        (b"\xff" * 200, "format version 4294967295"),
    ],
)
def test_what_is_no_index_is_named(data, problem):
    index = parse_shm(data)
    assert problem in index.problem
    assert index.header is None


@given(st.binary(max_size=300))
def test_any_bytes_are_accepted(data):
    assert isinstance(parse_shm(data), WalIndex)
