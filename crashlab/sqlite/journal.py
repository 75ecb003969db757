"""A rollback journal: the pages as they were before the transaction that left it behind.

Format: https://sqlite.org/fileformat2.html#the_rollback_journal ; what counts is what SQLite's own rollback
accepts (``pager_playback`` and ``readJournalHdr`` in pager.c). Any bytes are accepted.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from crashlab.sqlite.buffers import Buffer
from crashlab.sqlite.pages import LOCK_BYTE, PageSource, laid_over

__all__ = ["Journal", "JournalState", "Segment", "parse_journal", "rolled_back", "super_journal_names"]

MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
HEADER_SIZE = 28
MAX_SEGMENTS = 10_000
MAX_NAMES = 1_000
_NO_SYNC = 0xFFFFFFFF
_SUPER_NAME_MAX = 4096


class JournalState(StrEnum):
    """What the file is. Only HOT is rolled back by the next opener."""

    EMPTY = "zero length"
    """Finished under ``journal_mode=truncate``, or just made."""
    FINISHED = "header zeroed"
    """Finished under ``journal_mode=persist``; old page images may stand behind the header."""
    UNSYNCED = "no record counted"
    """Its transaction had not yet written to the database, so there is nothing to undo. The header's magic number
    and count come with the first sync; until then they are zero."""
    HOT = "hot"
    """The database may hold half of a transaction. If ``super_journal`` names a file that is gone, the whole
    transaction committed and SQLite deletes this journal without a rollback."""
    FOREIGN = "no journal"


@dataclass(frozen=True, slots=True)
class Segment:
    """Records behind one header, which stands at ``offset``. A transaction writes one at each sync of its journal.

    ``counted`` is the header's number of records (None: up to the end of the file), ``records`` how many of
    them are valid; ``nonce`` seeds their checksums.
    """

    offset: int
    counted: int | None
    nonce: int
    records: int


@dataclass(frozen=True, slots=True)
class Journal:
    """A parsed journal: plain data, no reference to the bytes.

    ``original_pages`` is the database's size before the transaction. ``pages`` maps a page to the offset of
    the image that a rollback writes: its last one, pages beyond the original size left out. ``problem`` says
    what ended the records before their count; a rollback goes no further than that. ``super_journal`` is the
    name at the end of the file, empty where there is none.
    """

    size: int
    state: JournalState
    problem: str
    page_size: int
    sector_size: int
    original_pages: int
    segments: tuple[Segment, ...]
    pages: Mapping[int, int]
    super_journal: str

    @property
    def records(self) -> int:
        """Valid records, a page that comes twice counted twice."""
        return sum(segment.records for segment in self.segments)


def parse_journal(data: Buffer, page_size: int = 0) -> Journal:
    """Parse a journal. ``page_size`` is the database's, for a header that leaves it 0."""
    super_journal = super_journal_name(data)
    first = data.read(0, HEADER_SIZE)
    if not first:
        return _other(data, JournalState.EMPTY, "", super_journal)
    if not first[:12].strip(b"\0"):
        state = JournalState.UNSYNCED if first.strip(b"\0") else JournalState.FINISHED
        return _other(data, state, "", super_journal)
    if first[: len(MAGIC)] != MAGIC or len(first) < HEADER_SIZE:
        problem = f"begins with {first[:8].hex()}, a journal with {MAGIC.hex()}" if len(first) >= 8 else "too short"
        return _other(data, JournalState.FOREIGN, problem, super_journal)
    counted, _, original, sector, size = struct.unpack_from(">5I", first, 8)
    size = size or page_size
    if not _power(size, 512, 65536) or not _power(sector, 32, 65536):
        problem = f"page size {size} and sector size {sector} are no sizes"
        return _other(data, JournalState.FOREIGN, problem, super_journal)
    pages: dict[int, int] = {}
    segments: list[Segment] = []
    problem, at = "", 0
    while not problem and len(segments) < MAX_SEGMENTS and at + sector <= data.size:
        header = data.read(at, HEADER_SIZE)
        if header[: len(MAGIC)] != MAGIC:
            break
        counted, nonce, _ = struct.unpack_from(">3I", header, 8)
        body = at + sector
        count = (data.size - body) // (size + 8) if counted == _NO_SYNC else counted
        done, problem = _records(data, body, count, size, nonce, original, pages)
        segments.append(Segment(at, None if counted == _NO_SYNC else counted, nonce, done))
        at = -(-(body + done * (size + 8)) // sector) * sector
    # Without a record, too: the rollback still cuts the database to its original size (pager_playback in pager.c).
    state = JournalState.HOT if segments else JournalState.UNSYNCED
    return Journal(data.size, state, problem, size, sector, original, tuple(segments), pages, super_journal)


def super_journal_names(data: Buffer) -> tuple[str, ...]:
    """The journals that a super-journal file lists, each ended by a zero byte; at most MAX_NAMES of them."""
    raw = data.read(0, MAX_NAMES * _SUPER_NAME_MAX)
    names = [name for name in raw.split(b"\0", MAX_NAMES)[:MAX_NAMES] if name]
    return tuple(name.decode("utf-8", "surrogateescape") for name in names)


def rolled_back(main: Buffer, data: Buffer, journal: Journal) -> PageSource:
    """The database as SQLite's rollback would leave it; the main file as it stands unless the journal is hot."""
    if journal.state is not JournalState.HOT:
        return laid_over(main, None, {})
    return laid_over(main, data, journal.pages, page_size=journal.page_size, pages=journal.original_pages)


def _records(
    data: Buffer, at: int, count: int, size: int, nonce: int, original: int, pages: dict[int, int]
) -> tuple[int, str]:
    """How many of ``count`` records are valid, and what ended them; their pages are added."""
    lock_page = LOCK_BYTE // size + 1
    for done in range(count):
        record = data.read(at, size + 8)
        if len(record) < size + 8:
            return done, f"record {done} of {count} is cut short by the end of the file"
        number, stored = int.from_bytes(record[:4]), int.from_bytes(record[-4:])
        if number in (0, lock_page):
            return done, f"record {done} of {count} is of page {number}, which none can be"
        if (nonce + sum(record[4 + place] for place in range(size - 200, 0, -200))) & 0xFFFFFFFF != stored:
            return done, f"record {done} of {count} (page {number}) has a wrong checksum"
        if number <= original:
            pages[number] = at + 4
        at += size + 8
    return count, ""


def super_journal_name(data: Buffer) -> str:
    """The name of the super-journal that a journal belongs to, empty without one.

    It is in the last bytes: page number, name, its length, its checksum, the magic number.
    """
    tail = data.read(data.size - 16, 16)
    if len(tail) < 16 or tail[8:] != MAGIC:
        return ""
    length, stored = struct.unpack_from(">2I", tail)
    raw = data.read(data.size - 16 - length, length) if 0 < length <= _SUPER_NAME_MAX else b""
    sums = {
        sum(raw) & 0xFFFFFFFF,
        sum(byte - 256 * (byte > 127) for byte in raw) & 0xFFFFFFFF,
    }  # char has a sign or not
    return raw.decode("utf-8", "surrogateescape") if raw and stored in sums else ""


def _other(data: Buffer, state: JournalState, problem: str, super_journal: str) -> Journal:
    return Journal(data.size, state, problem, 0, 0, 0, (), {}, super_journal)


def _power(number: int, least: int, most: int) -> bool:
    return least <= number <= most and not number & (number - 1)
