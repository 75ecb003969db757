"""The write-ahead log, read from bytes: header, frames, commits, and why the chain of frames ended.

Format: https://sqlite.org/fileformat2.html#walformat . What counts as valid is what SQLite's own recovery
accepts (``walIndexRecover`` and ``walDecodeFrame`` in wal.c): the header's salts, a page number above zero,
and the running checksum; the chain ends at the first frame that fails, and what follows is never looked at
again. Frame numbers here count from 0; SQLite's ``mxFrame`` counts from 1, so ``mxFrame`` equals
``Wal.committed``.

Everything here is a pure function of bytes and accepts any bytes. Never read the file of a live database in
a process that has it open: closing the descriptor would cancel that process's locks.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from crashlab.sqlite.buffers import Buffer, MemoryBuffer
from crashlab.sqlite.checksum import FRAME_HEADER, chain_length, checksum, frame_headers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ChainEnd", "Frame", "Run", "Wal", "WalHeader", "latest_pages", "parse_wal", "parse_wal_buffer"]

HEADER_SIZE = 32
MAGIC_LITTLE = 0x377F0682
MAGIC_BIG = 0x377F0683
VERSION = 3007000
MAX_RUNS = 64
"""Runs of frames kept for the tail; hostile bytes would otherwise make one a frame."""

_WINDOW = 4 << 20


class ChainEnd(StrEnum):
    """Why the chain of valid frames ended where it did."""

    EMPTY = "zero length"
    HEADER = "header invalid"
    END_OF_FILE = "end of file"
    PARTIAL_FRAME = "partial frame"
    SALT = "salt"
    PAGE_ZERO = "page number zero"
    CHECKSUM = "checksum"


class WalHeader(NamedTuple):
    """The 32 bytes at the start of the file, as they stand, right or wrong."""

    magic: int
    version: int
    page_size: int
    checkpoint_seq: int
    salts: tuple[int, int]
    checksum: tuple[int, int]
    checksum_ok: bool

    @property
    def big_endian(self) -> bool:
        """Byte order of the words in the checksums; every field of the file itself is big-endian."""
        return bool(self.magic & 1)


class Frame(NamedTuple):
    """One frame: page number, database size in pages if it is a commit (else 0), offset in the file."""

    page: int
    commit_size: int
    offset: int


class Run(NamedTuple):
    """Consecutive frames behind the end of the chain that share their salts.

    ``current`` is true where the salts are the header's: frames of this generation that the chain doesn't
    reach (behind a torn frame). Otherwise they are left from an earlier generation, from before the WAL was
    restarted.
    """

    salts: tuple[int, int]
    first_frame: int
    frames: int
    current: bool


@dataclass(frozen=True, slots=True)
class Wal:
    """A parsed WAL: plain data, no reference to the bytes.

    ``pages[i]`` and ``commit_sizes[i]`` belong to valid frame ``i``. ``commits`` holds, for every commit
    still visible, the number of frames up to and with its commit frame. ``committed`` is the last of them
    (0 without a commit). ``tail`` lists at most MAX_RUNS runs behind the chain; ``tail_frames`` counts
    every whole frame there and ``trailing_bytes`` what is left after the last whole frame.
    """

    size: int
    header: WalHeader | None
    problem: str
    pages: tuple[int, ...]
    commit_sizes: tuple[int, ...]
    commits: tuple[int, ...]
    committed: int
    end: ChainEnd
    tail: tuple[Run, ...]
    tail_frames: int
    trailing_bytes: int

    @property
    def page_size(self) -> int:
        """Bytes a page; 0 where the header is invalid."""
        return self.header.page_size if self.header and self.end is not ChainEnd.HEADER else 0

    @property
    def valid(self) -> int:
        """Number of frames in the chain, committed or not."""
        return len(self.pages)

    @property
    def uncommitted(self) -> int:
        """Valid frames behind the last commit: of a transaction that had not committed."""
        return len(self.pages) - self.committed

    @property
    def database_pages(self) -> int:
        """Size of the database in pages after the last commit; 0 without a commit."""
        return self.commit_sizes[self.committed - 1] if self.committed else 0

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The valid frames, in order."""
        stride = FRAME_HEADER + self.page_size
        offsets = range(HEADER_SIZE, HEADER_SIZE + stride * len(self.pages), stride)
        return tuple(map(Frame, self.pages, self.commit_sizes, offsets))

    def offset(self, frame: int) -> int:
        """Offset in the file of frame ``frame``; its page starts 24 bytes later."""
        return HEADER_SIZE + frame * (FRAME_HEADER + self.page_size)


def parse_wal(data: bytes | memoryview) -> Wal:
    """Parse the bytes of a WAL file; any bytes are accepted, and the result says what is wrong with them."""
    return parse_wal_buffer(MemoryBuffer(data))


def parse_wal_buffer(data: Buffer) -> Wal:
    """The same for a file that need not fit into memory: a few MB of it are held at a time."""
    size = data.size
    if size < HEADER_SIZE:
        problem = "zero length" if not size else f"{size} bytes, a WAL header has {HEADER_SIZE}"
        return _without_frames(size, None, problem)
    header = _header(data.read(0, HEADER_SIZE))
    problem = _header_problem(header)
    if problem:
        return _without_frames(size, header, problem)
    return _frames(data, header)


def latest_pages(wal: Wal, frames: int | None = None) -> dict[int, int]:
    """Return page -> index of its newest frame among the committed ones: what a reader takes from the WAL.

    ``frames`` looks at an earlier commit instead and must be one of ``wal.commits`` (ValueError otherwise).
    Pages beyond the size that this commit gave the database are left out: they no longer belong to it.
    """
    upto = wal.committed if frames is None else frames
    if upto and upto not in wal.commits:
        raise ValueError(f"no commit ends at frame count {upto}; commits end at {wal.commits[:10]}")
    size = wal.commit_sizes[upto - 1] if upto else 0
    newest = dict(zip(wal.pages[:upto], range(upto), strict=True))
    if newest and max(newest) > size:
        newest = {page: frame for page, frame in newest.items() if page <= size}
    return newest


def _header(raw: bytes) -> WalHeader:
    magic, version, page_size, sequence, salt1, salt2, sum1, sum2 = struct.unpack(">8I", raw)
    right = checksum(raw[:24], big_endian=bool(magic & 1)) == (sum1, sum2)
    return WalHeader(magic, version, page_size, sequence, (salt1, salt2), (sum1, sum2), right)


def _header_problem(header: WalHeader) -> str:
    """What makes SQLite ignore the file (or, for the version, refuse it); empty when nothing does."""
    if header.magic not in (MAGIC_LITTLE, MAGIC_BIG):
        return f"magic number {header.magic:#010x}, a WAL has {MAGIC_LITTLE:#x} or {MAGIC_BIG:#x}"
    if not 512 <= header.page_size <= 65536 or header.page_size & (header.page_size - 1):
        return f"page size {header.page_size} is no power of two from 512 to 65536"
    if not header.checksum_ok:
        return "header checksum mismatch"
    if header.version != VERSION:
        return f"format version {header.version}, expected {VERSION}"
    return ""


def _without_frames(size: int, header: WalHeader | None, problem: str) -> Wal:
    end = ChainEnd.HEADER if size else ChainEnd.EMPTY
    return Wal(size, header, problem, (), (), (), 0, end, (), 0, max(0, size - HEADER_SIZE))


def _frames(data: Buffer, header: WalHeader) -> Wal:
    page_size = header.page_size
    whole, trailing = divmod(data.size - HEADER_SIZE, FRAME_HEADER + page_size)
    end = ChainEnd.PARTIAL_FRAME if trailing else ChainEnd.END_OF_FILE
    if not whole:
        return Wal(data.size, header, "", (), (), (), 0, end, (), 0, trailing)
    table, valid, broken = _table(data, header, whole)
    commits = tuple((table[:valid, 1].nonzero()[0] + 1).tolist())
    return Wal(
        size=data.size,
        header=header,
        problem="",
        pages=tuple(table[:valid, 0].tolist()),
        commit_sizes=tuple(table[:valid, 1].tolist()),
        commits=commits,
        committed=commits[-1] if commits else 0,
        end=broken or end,
        tail=_runs(table[valid:, 2:4].tolist(), valid, header.salts) if valid < whole else (),
        tail_frames=whole - valid,
        trailing_bytes=trailing,
    )


def _table(data: Buffer, header: WalHeader, whole: int) -> "tuple[NDArray[np.uint32], int, ChainEnd | None]":
    """All frame headers, how many frames the chain has, and what broke it; a window of the file at a time."""
    import numpy as np

    stride = FRAME_HEADER + header.page_size
    a_window = max(1, _WINDOW // stride)
    table = np.empty((whole, 6), dtype=np.uint32)
    valid, seed = 0, header.checksum
    broken: ChainEnd | None = None
    for start in range(0, whole, a_window):
        count = min(a_window, whole - start)
        part = data.read(HEADER_SIZE + start * stride, count * stride)
        here = table[start : start + count]
        here[:] = frame_headers(part, page_size=header.page_size, frames=count, offset=0)
        if broken:
            continue
        # The cheap tests first: they bound how much has to be summed up.
        stranger = (here[:, 2] != header.salts[0]) | (here[:, 3] != header.salts[1])
        failing = stranger | (here[:, 0] == 0)
        at = int(failing.argmax())
        plausible = at if failing[at] else count
        chained = chain_length(
            part,
            here[:plausible],
            page_size=header.page_size,
            seed=seed,
            big_endian=header.big_endian,
            offset=0,
        )
        valid += chained
        if chained < plausible:
            broken = ChainEnd.CHECKSUM
        elif plausible < count:
            broken = ChainEnd.SALT if stranger[plausible] else ChainEnd.PAGE_ZERO
        seed = (int(here[-1, 4]), int(here[-1, 5]))
    return table, valid, broken


def _runs(salts: list[list[int]], first: int, current: tuple[int, int]) -> tuple[Run, ...]:
    runs: list[Run] = []
    start = 0
    for at in range(1, len(salts) + 1):
        if at == len(salts) or salts[at] != salts[start]:
            pair = (salts[start][0], salts[start][1])
            runs.append(Run(pair, first + start, at - start, pair == current))
            start = at
            if len(runs) == MAX_RUNS:
                break
    return tuple(runs)
