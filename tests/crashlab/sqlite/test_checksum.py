import random
import subprocess
import sys

import pytest
from real_databases import loop_checksum

from crashlab.sqlite.checksum import chain_length, checksum, frame_checksums, frame_headers

PAGE_SIZES = [512 << power for power in range(8)]


def chain_by_loop(data, page_size, frames, seed, big_endian, offset):
    chain = []
    for frame in range(frames):
        at = offset + frame * (24 + page_size)
        covered = data[at : at + 8] + data[at + 24 : at + 24 + page_size]
        seed = loop_checksum(covered, seed, big_endian)
        chain.append(seed)
    return chain


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_every_page_size_and_byte_order_agrees_with_the_plain_loop(page_size, big_endian):
    random_bytes = random.Random(page_size + big_endian)
    frames = 3
    offset = 35  # not aligned: a memoryview may start anywhere
    data = random_bytes.randbytes(offset + frames * (24 + page_size) + 5)
    seed = (random_bytes.getrandbits(32), random_bytes.getrandbits(32))
    expected = chain_by_loop(data, page_size, frames, seed, big_endian, offset)
    got = frame_checksums(data, page_size=page_size, frames=frames, seed=seed, big_endian=big_endian, offset=offset)
    assert got == expected


def test_words_of_all_ones_don_t_overflow():
    data = b"\xff" * (32 + 20 * 4120)
    expected = chain_by_loop(data, 4096, 20, (0xFFFFFFFF, 0xFFFFFFFF), False, 32)
    assert frame_checksums(data, page_size=4096, frames=20, seed=(0xFFFFFFFF, 0xFFFFFFFF), big_endian=False) == expected


def test_a_long_chain_is_the_same_across_chunks():
    data = random.Random(1).randbytes(32 + 200 * (24 + 65536))  # 13 MB, more than three chunks
    chain = frame_checksums(data, page_size=65536, frames=200, seed=(1, 2), big_endian=False)
    head = frame_checksums(data, page_size=65536, frames=90, seed=(1, 2), big_endian=False)
    rest = frame_checksums(data, page_size=65536, frames=110, seed=head[-1], big_endian=False, offset=32 + 90 * 65560)
    assert chain == head + rest
    assert chain[-1] == chain_by_loop(data, 65536, 1, chain[-2], False, 32 + 199 * 65560)[0]


@pytest.mark.parametrize("broken", [0, 1, 63, 64, 65, 150, 199])
def test_chain_length_finds_the_first_broken_frame_across_chunks(broken):
    page_size, frames = 65536, 200
    data = bytearray(32 + frames * (24 + page_size))
    chain = frame_checksums(bytes(data), page_size=page_size, frames=frames, seed=(7, 9), big_endian=True)
    for frame, sums in enumerate(chain):
        at = 32 + frame * (24 + page_size) + 16
        data[at : at + 8] = sums[0].to_bytes(4) + sums[1].to_bytes(4)
    table = frame_headers(data, page_size=page_size, frames=frames)
    assert chain_length(data, table, page_size=page_size, seed=(7, 9), big_endian=True) == frames
    data[32 + broken * (24 + page_size) + 24 + 1000] ^= 1
    assert chain_length(data, table, page_size=page_size, seed=(7, 9), big_endian=True) == broken


def test_header_checksum_agrees_with_the_loop():
    data = random.Random(3).randbytes(40)
    for big_endian in (False, True):
        assert checksum(data, (5, 6), big_endian=big_endian) == loop_checksum(data, (5, 6), big_endian)


def test_bad_lengths_are_refused():
    with pytest.raises(ValueError, match="12 bytes are no multiple of 8"):
        checksum(b"x" * 12, big_endian=False)
    with pytest.raises(ValueError, match="asked of a buffer of 100"):
        frame_checksums(b"x" * 100, page_size=512, frames=1, seed=(0, 0), big_endian=False)


def test_numpy_is_loaded_by_the_first_wal_and_not_by_an_import():
    code = (
        "import sys, crashlab.sqlite.wal, crashlab.sqlite.exposure, crashlab.sqlite.preflight, crashlab.sqlite.shm;"
        "assert not {'numpy', 'psutil', 'msgspec'} & set(sys.modules);"
        "crashlab.sqlite.wal.parse_wal(b'x' * 5000);"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
