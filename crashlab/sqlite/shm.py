"""The head of the wal-index (``-shm``): both copies of its header, and the checkpoint information.

Format: https://sqlite.org/walformat.html#the_wal_index_file_format . The file is shared memory, in the byte
order of the machine that wrote it, and rebuilt by the first connection after a crash: evidence about the
moment of death, never about what is durable. Pure functions of bytes; any bytes are accepted.
"""

import struct
import sys
from dataclasses import dataclass
from typing import Literal, NamedTuple

from crashlab.sqlite.checksum import checksum

__all__ = ["IndexHeader", "WalIndex", "parse_shm"]

HEADER_SIZE = 136
VERSION = 3007000
NOT_USED = 0xFFFFFFFF
"""Value of a read mark that no reader uses (READMARK_NOT_USED)."""


class IndexHeader(NamedTuple):
    """One of the two copies. A reader trusts them only when they are equal and their checksum is right.

    ``max_frame`` counts from 1 and is the last committed frame; ``page_size`` and ``pages`` describe the
    database after it. ``salts`` are comparable with the WAL header's.
    """

    version: int
    change: int
    initialised: bool
    big_endian_checksums: bool
    page_size: int
    max_frame: int
    pages: int
    frame_checksum: tuple[int, int]
    salts: tuple[int, int]
    checksum: tuple[int, int]
    checksum_ok: bool


@dataclass(frozen=True, slots=True)
class WalIndex:
    """The first 136 bytes of a ``-shm`` file.

    ``backfilled`` (nBackfill) is how many frames are known to be in the main file and never exceeds
    ``max_frame`` in health; ``backfill_attempted`` may be ahead of it while a checkpoint runs or after one
    was cut off. ``read_marks`` are the five snapshots readers may hold; NOT_USED marks a free one, and a
    mark left by a dead process binds nobody (the locks do, and they are not in the file's bytes).
    """

    size: int
    problem: str
    headers: tuple[IndexHeader, ...]
    backfilled: int
    read_marks: tuple[int, ...]
    backfill_attempted: int

    @property
    def header(self) -> IndexHeader | None:
        """The header a reader would trust, or None: copies differ, not initialised, wrong checksum."""
        if len(self.headers) != 2 or self.headers[0] != self.headers[1]:
            return None
        first = self.headers[0]
        return first if first.initialised and first.checksum_ok else None

    @property
    def impossible(self) -> bool:
        """More frames backfilled than there are: the mark that the WAL-reset defect leaves behind."""
        return self.header is not None and self.backfilled > self.header.max_frame


def parse_shm(data: bytes | memoryview) -> WalIndex:
    """Parse the bytes of a ``-shm`` file; any bytes are accepted, and ``problem`` says what is wrong."""
    raw = bytes(data[:HEADER_SIZE])
    if len(raw) < HEADER_SIZE:
        problem = "zero length" if not raw else f"{len(raw)} bytes, the wal-index header has {HEADER_SIZE}"
        return WalIndex(len(data), problem, (), 0, (), 0)
    order = _byte_order(raw)
    headers = (_header(raw[:48], order), _header(raw[48:96], order))
    fields = struct.unpack_from(("<" if order == "little" else ">") + "6I8xI", raw, 96)
    return WalIndex(len(data), _problem(headers), headers, fields[0], fields[1:6], fields[6])


def _byte_order(raw: bytes) -> Literal["little", "big"]:
    for order in (sys.byteorder, "big" if sys.byteorder == "little" else "little"):
        if int.from_bytes(raw[:4], order) == VERSION:
            return order
    return sys.byteorder


def _header(raw: bytes, order: Literal["little", "big"]) -> IndexHeader:
    mark = "<" if order == "little" else ">"
    version, change, initialised, big, page_size = struct.unpack_from(mark + "I4xIBBH", raw, 0)
    max_frame, pages, frame1, frame2 = struct.unpack_from(mark + "4I", raw, 16)
    salts = struct.unpack_from(">2I", raw, 32)  # copied as bytes from the WAL's header, which is big-endian
    sums = struct.unpack_from(mark + "2I", raw, 40)
    return IndexHeader(
        version=version,
        change=change,
        initialised=bool(initialised),
        big_endian_checksums=bool(big),
        page_size=(page_size & 0xFE00) + ((page_size & 1) << 16),
        max_frame=max_frame,
        pages=pages,
        frame_checksum=(frame1, frame2),
        salts=(salts[0], salts[1]),
        checksum=(sums[0], sums[1]),
        checksum_ok=checksum(raw[:40], big_endian=order == "big") == sums,
    )


def _problem(headers: tuple[IndexHeader, IndexHeader]) -> str:
    first, second = headers
    if first != second:
        return "the two header copies differ: a writer was between them, or died there"
    if not first.version and not first.initialised:
        return "all zero: no connection has built the index yet"
    if first.version != VERSION:
        return f"format version {first.version}, expected {VERSION}"
    return "" if first.checksum_ok else "header checksum mismatch"
