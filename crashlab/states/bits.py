"""Rows of bits packed in 64-bit words: the masks of many states at once."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bits", "Ints", "below", "first_set", "last_set", "pack", "unpack", "words_for"]

Bits = NDArray[np.uint64]
"""Rows by words; bit `b` of a row is bit `b % 64` of word `b // 64`."""

Ints = NDArray[np.int64]

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)


def words_for(bits: int) -> int:
    """Return how many words hold that many bits; at least one."""
    return max(1, (bits + 63) // 64)


def below(cuts: Ints, words: int) -> Bits:
    """Return rows with all bits below each cut set."""
    left = np.clip(cuts[:, None] - np.arange(words, dtype=np.int64) * 64, 0, 64)
    rows: Bits = (_ONE << np.minimum(left, 63).astype(np.uint64)) - _ONE
    rows[left == 64] = _ALL
    return rows


def pack(rows: NDArray[np.bool_], words: int) -> Bits:
    """Pack a table of rows by bits of booleans."""
    table = np.zeros((len(rows), words * 8), dtype=np.uint8)
    packed = np.packbits(rows, axis=1, bitorder="little")
    table[:, : packed.shape[1]] = packed
    rows_packed: Bits = table.view("<u8").astype(np.uint64, copy=False)
    return rows_packed


def unpack(rows: Bits, bits: int) -> NDArray[np.bool_]:
    """Return a table of rows by bits of booleans."""
    table = np.ascontiguousarray(rows.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(table, axis=1, count=bits, bitorder="little").view(np.bool_)


def first_set(rows: Bits, none: int) -> Ints:
    """Return the position of each row's lowest set bit, `none` for a row of zeros."""
    some = rows != 0
    at = some.argmax(axis=1)
    word = rows[np.arange(len(rows)), at]
    lowest = word & (~word + _ONE)
    # A power of two is exact as a double, so its exponent is the bit's number.
    position = at * 64 + np.frexp(lowest.astype(np.float64))[1] - 1
    return np.where(word != 0, position, none).astype(np.int64)


def last_set(rows: Bits) -> Ints:
    """Return the position of each row's highest set bit, -1 for a row of zeros."""
    some = rows != 0
    at = rows.shape[1] - 1 - some[:, ::-1].argmax(axis=1)
    word = rows[np.arange(len(rows)), at]
    high = word >> np.uint64(32)
    half = np.where(high != 0, high, word)
    exponent = np.frexp(half.astype(np.float64))[1] - 1 + np.where(high != 0, 32, 0)
    return np.where(word != 0, at * 64 + exponent, -1).astype(np.int64)
