"""The write-ahead logs of a trace, generation by generation, and where they can't be followed.

A **generation** begins with a WAL header (new salts) and has the frames written behind it. The class of a
state needs: which frames there are and when each was complete, which pages they hold, where commits end, and
for each write which of its bytes were there already from an older generation. That is only known while
frames are appended in order and written once; a generation of which that stops being true is `broken` from
that operation on, with the reason's name.

Facts on the WAL: https://sqlite.org/fileformat2.html#walformat .
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from crashlab.log.trace import Role, TraceKind
from crashlab.states.trace import Trace

__all__ = ["FRAME_HEADER", "WAL_HEADER", "Generation", "Generations"]

WAL_HEADER = 32
FRAME_HEADER = 24
BELOW_NOTHING = -1
"""A write behind the end of the file: what is missing of it reads as zeros, or is not there."""

_MAGICS = frozenset({0x377F0682, 0x377F0683})


@dataclass(slots=True)
class Generation:
    """One WAL header and the frames written behind it.

    `ready[k]`: the operation after which frames 0 to k are complete. `commits`: numbers of frames up to and
    with each commit frame, ascending; `sizes`: the database's pages after each. `first_frame`: page → first
    frame that holds it. `end`: where the next write belongs.
    """

    number: int
    inode: int
    page_size: int
    header: int
    ready: list[int] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    first_frame: dict[int, int] = field(default_factory=dict)
    end: int = WAL_HEADER
    last_needed: int = -1
    header_synced: bool = False
    broken: int | None = None
    reason: str = ""

    @property
    def stride(self) -> int:
        """Bytes a frame."""
        return FRAME_HEADER + self.page_size

    def break_at(self, op: int, reason: str) -> None:
        """Give up from an operation on."""
        if self.broken is None:
            self.broken, self.reason = op, reason


class Generations:
    """All generations of a trace's WALs, and its main files.

    By operation: `of`: its generation's number for header and frame writes, else -1. `frame`: its frame from
    0, -1 for a header. `below`: the write of the same bytes that lies under it, or BELOW_NOTHING.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.all: list[Generation] = []
        self.of = array("i", [-1]) * len(trace)
        self.frame = array("i", [-1]) * len(trace)
        self.below = array("i", [BELOW_NOTHING]) * len(trace)
        self.format_changes: list[int] = []
        """Writes to a main file that change its page size or its journal mode."""
        self.unsynced: int | None = None
        """First frame written before its WAL header was synced: what only synchronous=OFF does."""
        self._headers: dict[int, tuple[list[int], list[int]]] = {}
        self._wals: dict[int, _Wal] = {}
        self._formats: dict[int, bytes] = {}
        for op in range(len(trace)):
            inode = trace.inodes[op]
            if inode < 0:
                continue
            role = trace.files[inode].role
            if role is Role.WAL:
                self._wal(op, inode)
            elif role is Role.MAIN and trace.kinds[op] == TraceKind.WRITE and trace.offsets[op] < 20:
                self._format(op, inode)

    def at(self, inode: int, moment: int) -> Generation | None:
        """Return the newest generation of a WAL at a moment (all that was written counts), None before any."""
        found = self._headers.get(inode)
        if found is None:
            return None
        place = bisect_right(found[0], moment - 1)
        return self.all[found[1][place - 1]] if place else None

    def __iter__(self) -> Iterator[Generation]:
        return iter(self.all)

    def _format(self, op: int, inode: int) -> None:
        head = bytes(self.trace.data(op)[:20])
        if self.trace.offsets[op] or len(head) < 20:
            self.format_changes.append(op)
            return
        old = self._formats.get(inode)
        if old is not None and old != head[16:20]:
            self.format_changes.append(op)
        self._formats[inode] = head[16:20]

    def _wal(self, op: int, inode: int) -> None:
        trace = self.trace
        wal = self._wals.get(inode)
        if wal is None:
            wal = self._wals[inode] = _Wal(trace.files[inode].initial)
        generation = wal.generation
        if trace.kinds[op] == TraceKind.TRUNCATE:
            wal.cut(trace.offsets[op])
            if generation is not None:
                generation.break_at(op, "the WAL was truncated")
            return
        if trace.kinds[op] == TraceKind.SYNC and generation is not None:
            generation.header_synced = True
        if trace.kinds[op] != TraceKind.WRITE:
            return
        offset, length = trace.offsets[op], trace.lengths[op]
        if offset == 0:
            self._begin(op, inode, wal)
        elif generation is None:
            pass
        elif generation.broken is None:
            if not generation.header_synced and self.unsynced is None:
                self.unsynced = op
            self._append(op, wal, generation)
        below = wal.lay(op, offset, length)
        if below is None:
            if wal.generation is not None:
                wal.generation.break_at(op, "what lies under a frame is not known")
        else:
            self.below[op] = below

    def _begin(self, op: int, inode: int, wal: "_Wal") -> None:
        head = self.trace.data(op)
        magic, _version, page_size = struct.unpack_from(">3I", head) if len(head) >= 12 else (0, 0, 0)
        generation = Generation(len(self.all), inode, page_size, op)
        if len(head) != WAL_HEADER or magic not in _MAGICS or not 512 <= page_size <= 65536:
            generation.break_at(op, "not written as a WAL header")
        self.all.append(generation)
        wal.generation = generation
        ops, numbers = self._headers.setdefault(inode, ([], []))
        ops.append(op)
        numbers.append(generation.number)
        self.of[op], self.frame[op] = generation.number, -1

    def _append(self, op: int, wal: "_Wal", generation: Generation) -> None:
        trace = self.trace
        offset, length = trace.offsets[op], trace.lengths[op]
        if offset < generation.end:
            generation.break_at(op, "a frame was written twice")
            return
        frame, within = divmod(offset - WAL_HEADER, generation.stride)
        whole = within + length <= generation.stride and (within != 0 or length >= FRAME_HEADER)
        if offset != generation.end or not whole:
            generation.break_at(op, "frames were not written one behind the other")
            return
        self.of[op], self.frame[op] = generation.number, frame
        generation.end = offset + length
        if within == 0:
            page, size = struct.unpack_from(">II", trace.data(op))
            generation.first_frame.setdefault(page, frame)
            if size:
                generation.commits.append(frame + 1)
                generation.sizes.append(size)
        if wal.changes(trace, op):
            generation.last_needed = op
        if within + length == generation.stride:
            generation.ready.append(generation.last_needed)


class _Wal:
    """The bytes of a WAL file, as the writes that lie uppermost."""

    def __init__(self, initial: bool) -> None:
        self.generation: Generation | None = None
        self.size = 0
        self._unknown = initial
        self._at: dict[int, int] = {}
        self._lengths: dict[int, int] = {}

    def cut(self, size: int) -> None:
        """Truncate."""
        self.size = min(self.size, size)
        if not size:
            self._unknown = False
        for offset in [offset for offset in self._at if offset + self._lengths[offset] > size]:
            if offset < size:
                self._unknown = True
            del self._at[offset], self._lengths[offset]

    def under(self, offset: int, length: int) -> int | None:
        """Return the write that lies exactly there, BELOW_NOTHING behind the end, None if it isn't known."""
        if self._unknown:
            return None
        if offset >= self.size:
            return BELOW_NOTHING
        return self._at.get(offset) if self._lengths.get(offset) == length else None

    def changes(self, trace: Trace, op: int) -> bool:
        """Whether a write makes the file longer or other than it is."""
        offset, length = trace.offsets[op], trace.lengths[op]
        below = self.under(offset, length)
        return below is None or below == BELOW_NOTHING or trace.data(op) != trace.data(below)

    def lay(self, op: int, offset: int, length: int) -> int | None:
        """Do a write; return what lies under it."""
        below = self.under(offset, length)
        if below is None and not self._unknown:
            self._unknown = True
        self._at[offset], self._lengths[offset] = op, length
        self.size = max(self.size, offset + length)
        return below
