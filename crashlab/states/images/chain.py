"""The WAL as SQLite's recovery follows it: a tree of frames, in which each way down is one valid chain.

Valid is what `walDecodeFrame` in wal.c accepts: the header's salts, a page number above zero, and the running checksum
(https://sqlite.org/fileformat2.html#walformat). The sum is linear, so what a frame adds to it is computed once.
"""

import hashlib
import struct
import sys

import numpy as np

from crashlab.sqlite.checksum import FRAME_HEADER, checksum, frame_checksums
from crashlab.states.bits import Bits

__all__ = ["EMPTY", "UNKNOWN", "Chain", "Frame", "page_hash"]

EMPTY = 0
"""The node of a WAL in which recovery finds nothing."""

UNKNOWN = -1
"""Of a header that says something of which this module knows no more."""

HEADER = 32
_MAGICS = (0x377F0682, 0x377F0683)
_VERSION = 3007000
_MASK = 0xFFFFFFFF
_BIG = sys.byteorder == "big"
"""SQLite writes the checksums in the machine's own order (the lowest bit of the magic number)."""


def page_hash(page: int, data: bytes | memoryview) -> Bits:
    """Return two words that stand for a page's number and bytes."""
    digest = hashlib.blake2b(data, digest_size=16, person=page.to_bytes(16, "little")).digest()
    return np.frombuffer(digest, dtype=np.uint64)


class Frame:
    """A frame's fields, what it adds to the running sum, and the hash of its page."""

    __slots__ = ("adds", "hash", "key", "page", "salts", "size", "sums")

    def __init__(self, data: bytes, key: bytes, adds: tuple[int, int]) -> None:
        self.key, self.adds = key, adds
        self.page, self.size = struct.unpack_from(">II", data)
        self.salts = data[8:16]
        self.sums: tuple[int, int] = struct.unpack_from(">II", data, 16)
        self.hash = page_hash(self.page, data[FRAME_HEADER:])


class _Node:
    __slots__ = ("commit", "frame", "next", "pages", "parent", "salts", "sums")

    def __init__(self, salts: bytes, sums: tuple[int, int]) -> None:
        self.salts, self.sums = salts, sums
        self.parent: _Node | None = None
        self.frame: Frame | None = None
        self.commit = EMPTY
        self.next: dict[bytes, int] = {}
        self.pages: dict[int, Bits] | None = None


class Chain:
    """All chains of a database's WALs that were met. Nodes are numbers."""

    def __init__(self, page_size: int) -> None:
        self.stride = FRAME_HEADER + page_size
        self._page_size = page_size
        self._nodes = [_Node(b"", (0, 0))]
        self._roots: dict[bytes, int] = {}
        self._frames: dict[bytes, Frame] = {}
        zeros = bytes(self.stride)
        self._factors = self._sums(zeros, (1, 0)), self._sums(zeros, (0, 1))

    def root(self, data: bytes) -> int:
        """Return the node of a header's bytes."""
        found = self._roots.get(data)
        if found is None:
            found = self._roots[data] = self._root(data)
        return found

    def frame(self, data: bytes) -> Frame:
        """Return the frame of some bytes."""
        key = hashlib.blake2b(data, digest_size=16).digest()
        found = self._frames.get(key)
        if found is None:
            found = self._frames[key] = Frame(data, key, self._sums(data, (0, 0)))
        return found

    def step(self, node: int, frame: Frame) -> int:
        """Return the node behind a frame, EMPTY where it is not valid there."""
        at = self._nodes[node]
        found = at.next.get(frame.key)
        if found is None:
            found = at.next[frame.key] = self._step(node, frame)
        return found

    def commit(self, node: int) -> int:
        """Return the node of the last commit on the way to a node, EMPTY where there is none."""
        return self._nodes[node].commit

    def pages(self, commit: int) -> tuple[dict[int, Bits], int]:
        """Return what a commit's readers take from the WAL: page → hash, and the size of the database in pages."""
        node = self._nodes[commit]
        assert node.frame is not None
        if node.pages is None:
            pages: dict[int, Bits] = {}
            at: _Node | None = node
            while at is not None and at.frame is not None:
                if at is not node and at.pages is not None:
                    pages = at.pages | pages
                    break
                pages.setdefault(at.frame.page, at.frame.hash)
                at = at.parent
            node.pages = pages
        size = node.frame.size
        return {page: hashed for page, hashed in node.pages.items() if page <= size}, size

    def _root(self, data: bytes) -> int:
        magic, version, size = struct.unpack_from(">III", data)
        if magic not in _MAGICS or not 512 <= size <= 65536 or size & (size - 1):
            return EMPTY
        big = bool(magic & 1)
        sums: tuple[int, int] = struct.unpack_from(">II", data, 24)
        if checksum(data[:24], big_endian=big) != sums:
            return EMPTY
        if version != _VERSION or size != self._page_size or big != _BIG:
            return UNKNOWN
        return self._add(_Node(data[16:24], sums))

    def _step(self, node: int, frame: Frame) -> int:
        at = self._nodes[node]
        if frame.salts != at.salts or not frame.page:
            return EMPTY
        (a, c), (b, d) = self._factors
        u, v = frame.adds
        s0, s1 = at.sums
        if ((a * s0 + b * s1 + u) & _MASK, (c * s0 + d * s1 + v) & _MASK) != frame.sums:
            return EMPTY
        new = _Node(at.salts, frame.sums)
        new.parent, new.frame = at, frame
        number = self._add(new)
        new.commit = number if frame.size else at.commit
        return number

    def _add(self, node: _Node) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _sums(self, data: bytes, seed: tuple[int, int]) -> tuple[int, int]:
        return frame_checksums(data, page_size=self._page_size, frames=1, seed=seed, big_endian=_BIG, offset=0)[0]
