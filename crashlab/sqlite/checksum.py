"""The checksum chain of a write-ahead log, at memory speed.

SQLite's WAL checksum (https://sqlite.org/fileformat2.html#walformat, "Checksum Algorithm") runs over 32-bit
words taken in pairs ``(x, y)``: ``s0 += x + s1; s1 += y + s0``, all modulo 2**32. One step is linear,

    (s0, s1)' = [[1, 1], [1, 2]] (s0, s1) + [[1, 0], [1, 1]] (x, y)

so the sum after a whole frame is ``A**k`` times the sum before it plus a weighted sum of the frame's words;
the weights depend on the page size alone. And a stored chain is right exactly when every frame follows from
the *stored* sum before it, so all frames are checked side by side, without a loop. numpy is loaded at the
first use.
"""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FRAME_HEADER", "chain_length", "checksum", "frame_checksums", "frame_headers", "frame_links"]

FRAME_HEADER = 24
"""Bytes before the page in every frame: page number, commit size, two salts, two checksums; 4 bytes each."""

_MASK = 0xFFFFFFFF
_CHUNK = 4 << 20  # bytes checked at a time: bounds memory, and stops soon after a break in a long file


def checksum(data: bytes, seed: tuple[int, int] = (0, 0), *, big_endian: bool) -> tuple[int, int]:
    """Return the two sums over ``data`` (a multiple of 8 bytes) by the plain loop; meant for headers.

    ``big_endian`` is the byte order of the words: the lowest bit of the WAL's magic number.
    Raises ValueError when the length is no multiple of 8.
    """
    if len(data) % 8:
        raise ValueError(f"a WAL checksum covers pairs of 32-bit words; {len(data)} bytes are no multiple of 8")
    order: Literal["big", "little"] = "big" if big_endian else "little"
    s0, s1 = seed
    for at in range(0, len(data), 8):
        s0 = (s0 + int.from_bytes(data[at : at + 4], order) + s1) & _MASK
        s1 = (s1 + int.from_bytes(data[at + 4 : at + 8], order) + s0) & _MASK
    return s0, s1


@lru_cache(maxsize=16)
def _weights(
    page_size: int,
) -> "tuple[NDArray[np.uint32], NDArray[np.uint32], tuple[tuple[int, int], tuple[int, int]]]":
    """Weights of a frame's words in either sum (zero where not covered), and ``A**k`` of a whole frame."""
    import numpy as np

    covered = 2 + page_size // 4  # words: page number and commit size, then the page
    first, second = [0] * covered, [0] * covered
    a, b, c, d = 1, 0, 0, 1  # A**(pairs that follow)
    for at in range(covered - 2, -1, -2):
        first[at], second[at] = (a + b) & _MASK, (c + d) & _MASK
        first[at + 1], second[at + 1] = b, d
        a, b, c, d = (a + b) & _MASK, (a + 2 * b) & _MASK, (c + d) & _MASK, (c + 2 * d) & _MASK
    skipped = [0, 0, 0, 0]  # the salts and the checksum itself are not covered
    return (
        np.array(first[:2] + skipped + first[2:], dtype=np.uint32),
        np.array(second[:2] + skipped + second[2:], dtype=np.uint32),
        ((a, b), (c, d)),
    )


def frame_headers(data: bytes | memoryview, *, page_size: int, frames: int, offset: int = 32) -> "NDArray[np.uint32]":
    """Return the ``frames`` x 6 array of frame-header fields, which the file has big-endian."""
    import numpy as np

    stride = FRAME_HEADER + page_size
    view: NDArray[np.uint32] = np.ndarray((frames, 6), dtype=">u4", buffer=data, offset=offset, strides=(stride, 4))
    return view.astype(np.uint32)


def _sums(
    data: bytes | memoryview, page_size: int, frames: int, offset: int, big_endian: bool
) -> "tuple[NDArray[np.uint32], NDArray[np.uint32]]":
    """What each frame adds to either sum, whatever came before it."""
    import numpy as np

    first, second, _ = _weights(page_size)
    words = (FRAME_HEADER + page_size) // 4
    view: NDArray[np.uint32] = np.ndarray(
        (frames, words), dtype=">u4" if big_endian else "<u4", buffer=data, offset=offset
    )
    if big_endian != (sys.byteorder == "big"):
        view = view.astype(np.uint32)
    return np.einsum("ij,j->i", view, first), np.einsum("ij,j->i", view, second)


def frame_checksums(
    data: bytes | memoryview,
    *,
    page_size: int,
    frames: int,
    seed: tuple[int, int],
    big_endian: bool,
    offset: int = 32,
) -> list[tuple[int, int]]:
    """Return the checksum each of ``frames`` consecutive frames should carry, the chain starting at ``seed``.

    ``seed`` is the WAL header's checksum for the first frame, else the checksum of the frame before. The
    stored checksums are not looked at, so this is what a writer of WAL files uses. Raises ValueError for a
    short buffer.
    """
    (a, b), (c, d) = _weights(page_size)[2]
    stride = FRAME_HEADER + page_size
    per_chunk = max(1, _CHUNK // stride)
    s0, s1 = seed
    chain: list[tuple[int, int]] = []
    for start in range(0, frames, per_chunk):
        count = min(per_chunk, frames - start)
        first, second = _sums(_part(data, offset + start * stride, count * stride), page_size, count, 0, big_endian)
        for u, v in zip(first.tolist(), second.tolist(), strict=True):
            s0, s1 = (a * s0 + b * s1 + u) & _MASK, (c * s0 + d * s1 + v) & _MASK
            chain.append((s0, s1))
    return chain


def chain_length(
    data: bytes | memoryview,
    headers: "NDArray[np.uint32]",
    *,
    page_size: int,
    seed: tuple[int, int],
    big_endian: bool,
    offset: int = 32,
) -> int:
    """Return how many frames from the start carry the right checksum.

    ``headers`` comes from :func:`frame_headers` and says how many frames to look at; the rest as for
    :func:`frame_checksums`.
    """
    stride = FRAME_HEADER + page_size
    per_chunk = max(1, _CHUNK // stride)
    frames = len(headers)
    for start in range(0, frames, per_chunk):
        stop = min(frames, start + per_chunk)
        part = _part(data, offset + start * stride, (stop - start) * stride)
        before = (int(headers[start - 1, 4]), int(headers[start - 1, 5])) if start else seed
        right = frame_links(part, headers[start:stop], page_size=page_size, seed=before, big_endian=big_endian)
        at = int(right.argmin())
        if not right[at]:
            return start + at
    return frames


def frame_links(
    data: bytes | memoryview,
    headers: "NDArray[np.uint32]",
    *,
    page_size: int,
    seed: tuple[int, int],
    big_endian: bool,
) -> "NDArray[np.bool_]":
    """Say of each frame whether its checksum follows from the one stored in the frame before it.

    ``data`` begins with the first frame, for which ``seed`` stands in; ``headers`` is of :func:`frame_headers`.
    """
    import numpy as np

    (a, b), (c, d) = _weights(page_size)[2]
    first, second = _sums(data, page_size, len(headers), 0, big_endian)
    before = np.empty((len(headers), 2), dtype=np.uint32)
    before[0] = seed
    before[1:] = headers[:-1, 4:6]
    # Python integers of any size are refused beside uint32, so the factors are made uint32 first.
    f00, f01, f10, f11 = np.array((a, b, c, d), dtype=np.uint32)
    right: NDArray[np.bool_] = (before[:, 0] * f00 + before[:, 1] * f01 + first == headers[:, 4]) & (
        before[:, 0] * f10 + before[:, 1] * f11 + second == headers[:, 5]
    )
    return right


def _part(data: bytes | memoryview, offset: int, length: int) -> memoryview:
    """A window on the buffer, without a copy; raises ValueError when the buffer ends before it."""
    if len(data) < offset + length:
        raise ValueError(f"{length} bytes at offset {offset} asked of a buffer of {len(data)}")
    return memoryview(data)[offset : offset + length]
