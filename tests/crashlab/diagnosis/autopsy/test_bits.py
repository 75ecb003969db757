"""One flipped bit in a WAL is found again, wherever it is; two are not."""

import sqlite3

import pytest

from crashlab.diagnosis.autopsy.bits import Flip, flipped_frame_bits, flipped_wal_header_bits, turned
from crashlab.model.seed import rng_for
from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.wal import parse_wal

FRAME = 24 + 512


@pytest.fixture(scope="module")
def wal(tmp_path_factory):
    """The bytes of a WAL of some 40 frames."""
    path = tmp_path_factory.mktemp("bits") / "a.db"
    with sqlite3.connect(path) as connection:
        for statement in ("pragma page_size=512", "pragma journal_mode=wal", "create table t(a)"):
            connection.execute(statement)
        for number in range(30):
            connection.execute("insert into t values (?)", (f"{number:0300}",))
            connection.commit()
        data = path.with_name("a.db-wal").read_bytes()
    connection.close()
    return data


def test_the_flipped_bit_of_a_frame_is_found(wal):
    rng = rng_for(1, "bits")
    frames = parse_wal(wal).valid
    assert frames > 30
    for _ in range(150):
        frame, flip = rng.randrange(frames), Flip(rng.randrange(FRAME), rng.randrange(8))
        data = turned(wal, Flip(32 + frame * FRAME + flip.byte, flip.bit))
        parsed = parse_wal(data)
        assert parsed.valid == frame
        found = flipped_frame_bits(MemoryBuffer(data), parsed)
        assert flip in found
        for each in found:  # the high bits of some words cannot be told apart
            assert parse_wal(turned(data, Flip(32 + frame * FRAME + each.byte, each.bit))).valid > frame


def test_two_flipped_bits_are_no_flipped_bit(wal):
    rng = rng_for(2, "bits")
    for _ in range(50):
        first, second = (at // 8 * 8 + at % 4 for at in rng.sample(range(24 * 8, FRAME * 8), 2))
        data = turned(turned(wal, Flip(32 + first // 8, first % 8)), Flip(32 + second // 8, second % 8))
        assert not flipped_frame_bits(MemoryBuffer(data), parse_wal(data))


def test_the_flipped_bit_of_the_header_is_found(wal):
    for at in range(32 * 8):
        flip = Flip(at // 8, at % 8)
        assert flip in flipped_wal_header_bits(turned(wal, flip)[:32])
    assert not flipped_wal_header_bits(bytes(32))
