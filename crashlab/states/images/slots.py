"""A file of an epoch in slots: durable bytes, and what pending operations do to each page, frame, or all of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from crashlab.log.trace import TraceKind
from crashlab.states.bits import Ints
from crashlab.states.pieces import Pieces
from crashlab.states.state import SECTOR
from crashlab.states.trace import Trace

__all__ = ["File", "Layout", "Part", "Slot"]

WHOLE = 1 << 60

Part = tuple[int, int, int, int]
"""A piece's number, its operation, the range of the file that it changes; a cut has the operation -1 and its size."""


class Layout:
    """Where slots begin: the first has `head` bytes, each other one `length`."""

    def __init__(self, length: int, head: int = 0) -> None:
        self.length, self.head = length, head

    def at(self, offset: int) -> int:
        """Return the slot that holds an offset."""
        if not self.head:
            return offset // self.length
        return 0 if offset < self.head else 1 + (offset - self.head) // self.length

    def range(self, slot: int) -> tuple[int, int]:
        """Return a slot's first offset and the one behind it."""
        if not self.head:
            return slot * self.length, (slot + 1) * self.length
        if not slot:
            return 0, self.head
        start = self.head + (slot - 1) * self.length
        return start, start + self.length


class Slot:
    """One slot that pending pieces touch. `known`: what was made of its contents, by which pieces are there."""

    __slots__ = ("end", "known", "number", "parts", "pieces", "start")

    def __init__(self, number: int, start: int, end: int) -> None:
        self.number, self.start, self.end = number, start, end
        self.parts: list[Part] = []
        self.pieces: Ints = np.zeros(0, dtype=np.int64)
        self.known: dict[Any, Any] = {}


class File:
    """One inode in one epoch: `durable` bytes, and slots where pending operations change them."""

    def __init__(self, trace: Trace, pieces: Pieces, inode: int, durable: bytearray, layout: Layout) -> None:
        self.trace, self.durable, self.layout = trace, durable, layout
        self.slots: dict[int, Slot] = {}
        self.sizing: list[tuple[int, int, int]] = []
        """(first piece, one behind the last, operation) in order."""
        self.made: dict[int, Any] = {}
        """What was made of slots that nothing pending touches."""
        self.reach = len(durable)
        starts = pieces.starts.tolist()
        for place, op in enumerate(pieces.epoch.pending):
            kind = trace.kinds[op]
            if trace.inodes[op] != inode or pieces.is_entry[place]:
                continue
            low, high = starts[place], starts[place + 1]
            self.sizing.append((low, high, op))
            if kind == TraceKind.TRUNCATE:
                self._cut(low, trace.offsets[op])
            else:
                for piece, start, end in _ranges(trace, op, low, high):
                    self._write(piece, op, start, end)
        for slot in self.slots.values():
            slot.pieces = np.array([part[0] for part in slot.parts], dtype=np.int64)

    def content(self, slot: Slot | None, number: int, parts: Sequence[tuple[Part, int]]) -> bytes:
        """Return a slot's bytes with some parts done, each up to an offset; whole files at their own length."""
        start, end = self.layout.range(number) if slot is None else (slot.start, slot.end)
        data = self.durable[start:end]
        whole = end >= WHOLE
        if not whole and len(data) < end - start:
            data.extend(bytes(end - start - len(data)))
        for (_piece, op, low, high), stop in parts:
            if op < 0:
                if low - start < len(data):
                    del data[max(0, low - start) :]
                if len(data) < (low if whole else end) - start:
                    data.extend(bytes((low if whole else end) - start - len(data)))
                continue
            high = min(high, stop)
            if low >= high:
                continue
            if whole and low > len(data):
                data.extend(bytes(low - len(data)))
            offset = self.trace.offsets[op]
            data[low - start : high - start] = self.trace.data(op)[low - offset : high - offset]
        return bytes(data)

    def constant(self, number: int, make: Callable[[bytes], Any]) -> Any:
        """Return what is made of a slot that nothing pending touches; made once."""
        if number not in self.made:
            self.made[number] = make(self.content(None, number, ()))
        return self.made[number]

    def _slot(self, number: int) -> Slot:
        found = self.slots.get(number)
        if found is None:
            found = self.slots[number] = Slot(number, *self.layout.range(number))
        return found

    def _write(self, piece: int, op: int, start: int, end: int) -> None:
        self.reach = max(self.reach, end)
        for number in range(self.layout.at(start), self.layout.at(end - 1) + 1):
            slot = self._slot(number)
            slot.parts.append((piece, op, max(start, slot.start), min(end, slot.end)))

    def _cut(self, piece: int, size: int) -> None:
        self.reach = max(self.reach, size)
        for number in range(self.layout.at(size), self.layout.at(max(size, self.reach - 1)) + 1):
            self._slot(number).parts.append((piece, -1, size, 0))


def _ranges(trace: Trace, op: int, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    """Yield the pieces of a write with the ranges of the file that they are."""
    offset = trace.offsets[op]
    end = offset + trace.lengths[op]
    if high - low == 1:
        if end > offset:
            yield low, offset, end
        return
    sector = offset - offset % SECTOR
    for piece in range(low, high):
        yield piece, max(offset, sector), min(end, sector + SECTOR)
        sector += SECTOR
