"""Which single bit, turned over, makes a broken piece right again.

A frame's checksum is linear in its words, so each bit of a frame has a known effect on both sums: where one has the
effect that was found, a single bit was flipped. By chance that fits once in 2**64 over the number of bits: as good as
proof. Which bit it was is less certain: the high bits of several words have the same effect, so candidates are given.
A page of the main file has no checksum: there a flip only makes it plausible.
"""

from typing import NamedTuple

import numpy as np

from crashlab.sqlite.btree import parse_cell, parse_page
from crashlab.sqlite.buffers import Buffer
from crashlab.sqlite.checksum import FRAME_HEADER, checksum
from crashlab.sqlite.header import HEADER_SIZE as DATABASE_HEADER
from crashlab.sqlite.wal import HEADER_SIZE, Wal, parse_wal

__all__ = ["Flip", "flipped_frame_bits", "flipped_page_bits", "flipped_wal_header_bits", "turned"]

_MASK = 0xFFFFFFFF


class Flip(NamedTuple):
    """A bit: offset of its byte in the piece, and its number in that byte (0 is the lowest)."""

    byte: int
    bit: int


def turned(data: bytes, flip: Flip) -> bytes:
    """The same bytes with one bit turned over."""
    changed = bytearray(data)
    changed[flip.byte] ^= 1 << flip.bit
    return bytes(changed)


def flipped_wal_header_bits(raw: bytes) -> tuple[Flip, ...]:
    """The bits that, any one of them turned over, make a WAL's first 32 bytes a valid header."""
    if len(raw) < HEADER_SIZE:
        return ()
    flips = [Flip(at // 8, at % 8) for at in range(HEADER_SIZE * 8)]
    return tuple(flip for flip in flips if not parse_wal(turned(raw[:HEADER_SIZE], flip)).problem)


def flipped_frame_bits(data: Buffer, wal: Wal) -> tuple[Flip, ...]:
    """The bits of frame ``wal.valid``, counted from its first byte, that any one of them turned over mend the chain."""
    if wal.header is None or not wal.page_size:
        return ()
    stride = FRAME_HEADER + wal.page_size
    raw = data.read(wal.offset(wal.valid), stride)
    if len(raw) < stride:
        return ()
    seed = wal.header.checksum
    if wal.valid:
        before = data.read(wal.offset(wal.valid - 1) + 16, 8)
        seed = int.from_bytes(before[:4]), int.from_bytes(before[4:])
    big = wal.header.big_endian
    salts = b"".join(salt.to_bytes(4) for salt in wal.header.salts)
    found = checksum(raw[:8] + raw[FRAME_HEADER:], seed, big_endian=big)
    stored = int.from_bytes(raw[16:20]), int.from_bytes(raw[20:24])
    unlike = int.from_bytes(raw[8:16]) ^ int.from_bytes(salts)
    sums = (stored[0] << 32 | stored[1]) ^ (found[0] << 32 | found[1])
    if unlike or not sums:
        return (_of_a_word(8, unlike),) if unlike.bit_count() == 1 and not sums else ()
    covered = _covered_bits(raw, (stored[0] - found[0]) & _MASK, (stored[1] - found[1]) & _MASK, big)
    return (*covered, _of_a_word(16, sums)) if sums.bit_count() == 1 else covered


def _of_a_word(start: int, word: int) -> Flip:
    at = word.bit_length() - 1
    return Flip(start + 7 - at // 8, at % 8)


def _covered_bits(raw: bytes, first: int, second: int, big: bool) -> tuple[Flip, ...]:
    body = raw[:8] + raw[FRAME_HEADER:]
    words = np.frombuffer(body, dtype=">u4" if big else "<u4")
    weights = _weights(len(words))
    found = set()
    for bit in range(32):
        scaled = weights << np.uint32(bit)
        for sign in (1, -1):
            wanted = np.array([sign * first & _MASK, sign * second & _MASK], dtype=np.uint32)
            for at in (scaled == wanted).all(axis=1).nonzero()[0].tolist():
                if bool(int(words[at]) >> bit & 1) is (sign < 0):  # a set bit is to be cleared, a clear one set
                    byte = at * 4 + (3 - bit // 8 if big else bit // 8)
                    found.add(Flip(byte if byte < 8 else byte + FRAME_HEADER - 8, bit % 8))
    return tuple(sorted(found))


def _weights(words: int) -> "np.ndarray[tuple[int, int], np.dtype[np.uint32]]":
    """What one in each word adds to either sum."""
    weights = np.zeros((words, 2), dtype=np.uint32)
    a, b, c, d = 1, 0, 0, 1
    for at in range(words - 2, -1, -2):
        weights[at] = (a + b) & _MASK, (c + d) & _MASK
        weights[at + 1] = b, d
        a, b, c, d = (a + b) & _MASK, (a + 2 * b) & _MASK, (c + d) & _MASK, (c + 2 * d) & _MASK
    return weights


def flipped_page_bits(raw: bytes, number: int, usable: int) -> tuple[Flip, ...]:
    """The bits of a page's b-tree header that, turned over, leave a page without a fault of its own."""
    start = DATABASE_HEADER if number == 1 else 0
    flips = (Flip(at // 8, at % 8) for at in range(start * 8, min(len(raw), start + 12) * 8))
    return tuple(flip for flip in flips if _is_sound(turned(raw, flip), number, usable))


def _is_sound(raw: bytes, number: int, usable: int) -> bool:
    page = parse_page(raw, number, usable)
    if page.kind is None or page.problem or not page.cells:
        return False
    return not any(isinstance(parse_cell(raw, page, at, usable), str) for at in page.cells)
