"""The pages of a database at one moment: a main file, with images from a side file laid over it.

The side file is a WAL (the database as of one of its commits) or a rollback journal (the database as the
rollback would leave it). Nothing is read before it is asked for, and nothing is ever written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crashlab.sqlite.buffers import Buffer
from crashlab.sqlite.checksum import FRAME_HEADER
from crashlab.sqlite.header import FileKind, HeaderReport, read_header
from crashlab.sqlite.wal import Wal, latest_pages, parse_wal_buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LOCK_BYTE", "PageSource", "database", "guess_page_size", "laid_over"]

LOCK_BYTE = 1 << 30
"""Offset of the bytes that carry the locks; their page holds no data (fileformat2.html#the_lock_byte_page)."""

PAD = 64
"""Zero bytes behind pages read together: a varint at the end of the last may be read past it."""

_HEADER_BYTES = 512


@dataclass(frozen=True, slots=True)
class PageSource:
    """Pages 1 to ``pages``, each of ``page_size`` bytes.

    ``pages`` is how large the database is, by the WAL's commit or a valid header, as SQLite decides it; but
    never more than there are images for, so that hostile sizes cost nothing. ``claimed_pages`` is the number
    before that clamp: where it is larger, the file was cut short. ``file_pages`` counts the main file alone,
    a partial last page too. ``overlay`` maps a page to its image's offset in ``side``. ``report`` is of
    page 1 as it stands here. ``page_size`` is 0, and no page is there, where nothing tells the page size.
    """

    main: Buffer
    page_size: int
    pages: int
    claimed_pages: int
    file_pages: int
    report: HeaderReport
    side: Buffer | None = None
    overlay: Mapping[int, int] = field(default_factory=dict, repr=False)

    @property
    def usable(self) -> int:
        """Bytes of a page that SQLite uses: what is left of it by the header's reserved bytes."""
        header = self.report.header
        reserved = header.reserved_bytes if header else 0
        return self.page_size - reserved if self.page_size - reserved >= 480 else self.page_size

    @property
    def encoding(self) -> str:
        """Python's name for the encoding of all text; UTF-8 where the header tells none."""
        header = self.report.header
        names = {"UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}
        return names.get(header.encoding, "utf-8") if header else "utf-8"

    @property
    def auto_vacuum(self) -> bool:
        """Whether the file has pointer-map pages."""
        return bool(self.report.header and self.report.header.largest_root_page)

    @property
    def lock_page(self) -> int:
        """Number of the page that holds the lock bytes, whether or not the file reaches it."""
        return LOCK_BYTE // self.page_size + 1 if self.page_size else 0

    def page(self, number: int) -> bytes:
        """Return a page's bytes, zeros where the main file ends within it; empty if there is no such page."""
        if not 1 <= number <= self.pages:
            return b""
        at = self.overlay.get(number)
        if at is not None and self.side is not None:
            return self.side.read(at, self.page_size)
        found = self.main.read((number - 1) * self.page_size, self.page_size)
        return found if len(found) == self.page_size or not found else found.ljust(self.page_size, b"\0")

    def head(self, number: int, length: int) -> bytes:
        """Return the first ``length`` bytes of a page; what :meth:`page` says of its edges."""
        if not 1 <= number <= self.pages:
            return b""
        at = self.overlay.get(number)
        if at is not None and self.side is not None:
            return self.side.read(at, length)
        found = self.main.read((number - 1) * self.page_size, length)
        return found if len(found) == length or not found else found.ljust(length, b"\0")

    def many(self, numbers: Sequence[int]) -> "NDArray[np.uint8]":
        """Return pages side by side, flat, with PAD zero bytes behind; a page that is not there is zeros.

        Consecutive pages are read at one go.
        """
        import numpy as np

        size = self.page_size
        out = np.zeros(len(numbers) * size + PAD, dtype=np.uint8)
        overlaid, at = self.overlay, 0
        while at < len(numbers):
            first, count = numbers[at], 1
            if overlaid and first in overlaid:
                found = self.page(first)
            else:
                while (
                    at + count < len(numbers)
                    and numbers[at + count] == first + count
                    and not (overlaid and first + count in overlaid)
                ):
                    count += 1
                count = max(0, min(count, self.pages - first + 1)) if first > 0 else 0
                found = self.main.read((first - 1) * size, count * size)
                count = max(count, 1)
            out[at * size : at * size + len(found)] = np.frombuffer(found, dtype=np.uint8)
            at += count
        return out


def database(
    main: Buffer,
    wal: Buffer | None = None,
    *,
    parsed: Wal | None = None,
    frames: int | None = None,
    page_size: int | None = None,
) -> PageSource:
    """The database that a reader of ``main`` and ``wal`` sees, or saw after an earlier commit.

    ``frames`` is one of the WAL's ``commits`` (ValueError otherwise): the number of frames up to and with a
    commit; 0 is the main file alone, and None the last commit. Pass ``parsed`` when the WAL was parsed
    already. ``page_size`` overrides the header's, for a file whose first page is lost.
    """
    log = parse_wal_buffer(wal) if wal is not None and parsed is None else parsed
    upto = (log.committed if frames is None else frames) if log is not None else 0
    if log is None or wal is None or not upto:
        return laid_over(main, None, {}, page_size=page_size)
    overlay = {page: log.offset(frame) + FRAME_HEADER for page, frame in latest_pages(log, upto).items()}
    return laid_over(main, wal, overlay, page_size=log.page_size, pages=log.commit_sizes[upto - 1])


def laid_over(
    main: Buffer,
    side: Buffer | None,
    overlay: Mapping[int, int],
    *,
    page_size: int | None = None,
    pages: int | None = None,
) -> PageSource:
    """Any page images of a side file over a main file. ``pages`` is the database's size where it is known."""
    first = side.read(overlay[1], _HEADER_BYTES) if side is not None and 1 in overlay else main.read(0, _HEADER_BYTES)
    known = main.size if 1 not in overlay else max(main.size, (page_size or 0) * max(overlay))
    report = read_header(first, known)
    size = page_size or (report.header.page_size if report.header and report.kind is FileKind.DATABASE else 0)
    if not size:
        return PageSource(main, 0, 0, 0, 0, report)
    in_file = -(-main.size // size)
    claimed = pages
    if claimed is None:
        trusted = report.header is not None and report.header.size_is_valid
        claimed = report.header.size_pages if report.header and trusted else in_file
    there = max(in_file, max(overlay, default=0))
    return PageSource(main, size, min(claimed, there), claimed, in_file, report, side, overlay)


def guess_page_size(main: Buffer) -> int:
    """Guess the page size of a database whose first page is lost; 0 where nothing looks like a b-tree page.

    Pages may begin at any multiple of 512. One that looks like a b-tree page bounds the size from both sides: it
    divides the offset, and is above every cell pointer, of which the highest is near the page's end. The size
    that most of them allow is it. At most 64 stretches of 64 KiB are looked at, spread over the file.
    """
    votes = dict.fromkeys((1 << shift for shift in range(9, 17)), 0)
    stretches = -(-main.size // 65536)
    for stretch in range(0, stretches, max(1, stretches // 64)):
        data = main.read(stretch * 65536, 65536)
        for at in range(0, len(data) - 511, 512):
            least = _least_page_size(data[at : at + 512])
            for size in votes:
                votes[size] += bool(least) and least <= size and (at == 0 or at % size == 0)
    best = max(votes.values())
    return next((size for size, count in votes.items() if count == best), 0) if best else 0


def _least_page_size(raw: bytes) -> int:
    """The least size of a b-tree page that begins so, or 0 where none does."""
    if raw[0] not in (2, 5, 10, 13):
        return 0
    first = 12 if raw[0] in (2, 5) else 8
    cells, content = int.from_bytes(raw[3:5]), int.from_bytes(raw[5:7]) or 65536
    pointers = [int.from_bytes(raw[at : at + 2]) for at in range(first, min(512, first + 2 * cells), 2)]
    if not pointers or min(pointers) < content or first + 2 * cells > content or len(set(pointers)) < len(pointers):
        return 0
    return 1 << max(9, max(pointers).bit_length())
