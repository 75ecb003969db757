"""What is there in a batch's states: rows of pieces after a power loss, a prefix and a torn write after a kill."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crashlab.log.trace import TraceKind
from crashlab.states.bits import Ints
from crashlab.states.images.slots import File, Slot
from crashlab.states.pending import Epoch

__all__ = ["Kill", "Losses", "Source"]

Make = Callable[[bytes], Any]
Split = tuple[list[Any], Ints]
"""The different things that were made of a slot, and for each row which of them it has."""


class Source(Protocol):
    """States, by row."""

    def split(self, file: File, slot: Slot, rows: Ints, make: Make) -> Split:
        """Say what is made of a slot's bytes in each of some rows."""
        ...

    def sizes(self, file: File, rows: Ints) -> Ints:
        """Return a file's length in each of some rows."""
        ...

    def entries(self, epoch: Epoch, is_entry: NDArray[np.bool_]) -> list[tuple[tuple[int, ...], Ints]]:
        """Return which pending directory entries there are, each kind with its rows."""
        ...


class Losses:
    """States of a power loss: `table` has a row a state and a column a piece."""

    def __init__(self, table: NDArray[np.bool_], starts: Ints) -> None:
        self._table, self._starts = table, starts

    def split(self, file: File, slot: Slot, rows: Ints, make: Make) -> Split:
        """See the protocol."""
        kept = self._table[np.ix_(rows, slot.pieces)]
        patterns, first, inverse = _distinct(kept)
        values = []
        for pattern, row in zip(patterns, first.tolist(), strict=True):
            if pattern not in slot.known:
                parts = [(part, part[3]) for part, there in zip(slot.parts, kept[row].tolist(), strict=True) if there]
                slot.known[pattern] = make(file.content(slot, slot.number, parts))
            values.append(slot.known[pattern])
        return values, inverse

    def sizes(self, file: File, rows: Ints) -> Ints:
        """See the protocol."""
        trace = file.trace
        sizes: Ints = np.full(len(rows), len(file.durable), dtype=np.int64)
        for low, high, op in file.sizing:
            kept = self._table[rows, low:high]
            if trace.kinds[op] == TraceKind.TRUNCATE:
                sizes = np.where(kept[:, 0], trace.offsets[op], sizes)
                continue
            offset, end = trace.offsets[op], trace.offsets[op] + trace.lengths[op]
            if high - low == 1:
                ends = np.where(kept[:, 0], end, 0)
            else:
                last = (high - low) - kept[:, ::-1].argmax(axis=1)
                ends = np.where(kept.any(axis=1), np.minimum(end, offset - offset % 512 + last * 512), 0)
            sizes = np.maximum(sizes, ends)
        return sizes

    def entries(self, epoch: Epoch, is_entry: NDArray[np.bool_]) -> list[tuple[tuple[int, ...], Ints]]:
        """See the protocol."""
        places = np.flatnonzero(is_entry)
        if not len(places):
            return [((), np.arange(len(self._table)))]
        kept = self._table[:, self._starts[places]]
        _patterns, first, inverse = _distinct(kept)
        ops = [epoch.pending[place] for place in places.tolist()]
        return [
            (tuple(op for op, there in zip(ops, kept[row].tolist(), strict=True) if there), rows)
            for row, rows in zip(first.tolist(), _rows_of(inverse, len(first)), strict=True)
        ]


class Kill:
    """States of a kill at one moment: all that was done, and of the next write so many bytes (0: none), one a row."""

    def __init__(self, done: int, starts: Ints, op: int, torn: Ints) -> None:
        self._done, self._exists, self._op, self._torn = done, int(starts[done]), op, torn

    def split(self, file: File, slot: Slot, rows: Ints, make: Make) -> Split:
        """See the protocol."""
        many = int(np.searchsorted(slot.pieces, self._exists))
        if many not in slot.known:
            slot.known[many] = make(file.content(slot, slot.number, [(part, part[3]) for part in slot.parts[:many]]))
        torn = self._torn[rows]
        following = slot.parts[many] if many < len(slot.parts) else None
        if following is None or following[1] != self._op or not torn.any():
            return [slot.known[many]], np.zeros(len(rows), dtype=np.int64)
        offset = file.trace.offsets[self._op]
        # Bytes before the slot change nothing in it, and neither do those behind.
        cut = np.clip(torn, following[2] - offset, following[3] - offset)
        sizes, inverse = np.unique(cut, return_inverse=True)
        before = [(part, part[3]) for part in slot.parts[:many]]
        values = [
            make(file.content(slot, slot.number, [*before, (following, offset + size)]))
            if offset + size > following[2]
            else slot.known[many]
            for size in sizes.tolist()
        ]
        return values, inverse.reshape(-1)

    def sizes(self, file: File, rows: Ints) -> Ints:
        """See the protocol."""
        trace, size = file.trace, len(file.durable)
        torn: Ints = np.zeros(len(rows), dtype=np.int64)
        for low, _high, op in file.sizing:
            if op == self._op:
                torn = np.where(self._torn[rows] > 0, trace.offsets[op] + self._torn[rows], 0)
            if low >= self._exists:
                break
            cut = trace.kinds[op] == TraceKind.TRUNCATE
            size = trace.offsets[op] if cut else max(size, trace.offsets[op] + trace.lengths[op])
        return np.maximum(torn, size)

    def entries(self, epoch: Epoch, is_entry: NDArray[np.bool_]) -> list[tuple[tuple[int, ...], Ints]]:
        """See the protocol."""
        places = np.flatnonzero(is_entry[: self._done]).tolist()
        return [(tuple(epoch.pending[place] for place in places), np.arange(len(self._torn)))]


def _distinct(kept: NDArray[np.bool_]) -> tuple[Sequence[bytes], Ints, Ints]:
    """Return the different rows of a table as bytes, where each is first, and for each row which it is."""
    packed = np.packbits(kept, axis=1)
    wide = np.zeros((len(packed), max(8, packed.shape[1])), dtype=np.uint8)
    wide[:, : packed.shape[1]] = packed
    keys = wide.view(np.uint64 if wide.shape[1] == 8 else np.dtype((np.void, wide.shape[1]))).reshape(-1)
    unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return [each.tobytes() for each in unique], first, inverse.reshape(-1)


def _rows_of(inverse: Ints, many: int) -> list[Ints]:
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(np.bincount(inverse, minlength=many))
    return np.split(order, ends[:-1])
