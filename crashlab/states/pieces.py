"""The parts of an epoch's pending operations that persist or get lost one by one.

Where writes may be torn, a write has a piece for each sector it touches; otherwise, and for truncates and
directory entries, an operation is one piece. Pieces are numbered in the order of their operations, so those
that exist at a moment are the first `at(moment)`.
"""

from dataclasses import dataclass

import numpy as np

from crashlab.log.trace import TraceKind
from crashlab.states.bits import Bits, Ints, pack, unpack, words_for
from crashlab.states.pending import ENTRY_KINDS, Epoch
from crashlab.states.state import POWER_LOSS, SECTOR, CrashState
from crashlab.states.trace import Trace

__all__ = ["Group", "Pieces"]

_ENTRY = np.array([kind in ENTRY_KINDS for kind in range(256)])


@dataclass(slots=True)
class Group:
    """Pieces of one file, or all directory entries: what a prefix is a prefix of.

    `pieces`: their numbers. `starts`: numbers of the first piece of each operation. `mask`: one row.
    """

    pieces: Ints
    starts: Ints
    mask: Bits


class Pieces:
    """The pieces of one epoch. `torn`: writes fall apart into sectors."""

    def __init__(self, trace: Trace, epoch: Epoch, *, torn: bool) -> None:
        self.trace = trace
        self.epoch = epoch
        self.torn = torn
        ops = np.array(epoch.pending, dtype=np.int64)
        kinds = np.frombuffer(trace.kinds, dtype=np.uint8)[ops] if len(ops) else np.zeros(0, np.uint8)
        counts = np.ones(len(ops), dtype=np.int64)
        if torn and len(ops):
            offsets = np.frombuffer(trace.offsets, dtype=np.int64)[ops]
            lengths = np.frombuffer(trace.lengths, dtype=np.int64)[ops]
            several = (offsets % SECTOR + lengths + SECTOR - 1) // SECTOR
            counts = np.where(kinds == TraceKind.WRITE, np.maximum(several, 1), counts)
        self.starts: Ints = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
        """First piece of each pending operation; the last element is the number of all pieces."""
        self.is_entry = _ENTRY[kinds]
        self.total = int(self.starts[-1])
        self.words = words_for(self.total)
        self.op_of = np.repeat(np.arange(len(ops)), counts)
        """Place in the epoch's pending list of each piece's operation."""
        self._groups: list[Group] | None = None

    def at(self, moment: int) -> int:
        """Return how many pieces exist at a moment."""
        return int(self.starts[self.epoch.count(moment)])

    def mask(self, chosen: "np.typing.NDArray[np.bool_]") -> Bits:
        """Return one row with the bits of the chosen pieces (one boolean a piece)."""
        return pack(chosen[None, :], self.words)

    def groups(self) -> list[Group]:
        """Return the pieces by file, in the order of the files' first pending operations, entries last."""
        if self._groups is None:
            inodes = np.array([self.trace.inodes[op] for op in self.epoch.pending], dtype=np.int64)
            inodes[self.is_entry] = -1
            found: list[Group] = []
            order = [*dict.fromkeys(inode for inode in inodes.tolist() if inode >= 0), -1]
            for inode in order:
                ops = np.flatnonzero(inodes == inode)
                if len(ops):
                    chosen = (inodes == inode)[self.op_of]
                    found.append(Group(np.flatnonzero(chosen), self.starts[ops], self.mask(chosen)))
            self._groups = found
        return self._groups

    def state(self, moment: int, row: Bits) -> CrashState:
        """Return the state whose pieces are the bits of one row."""
        ops = self.epoch.count(moment)
        pieces = int(self.starts[ops])
        kept = unpack(row[None, :], pieces)[0]
        starts = self.starts[: ops + 1]
        of = np.add.reduceat(kept.astype(np.int64), starts[:-1]) if ops else np.zeros(0, np.int64)
        whole = of == np.diff(starts)
        is_entry = self.is_entry[:ops]
        keep = _integer(whole[~is_entry])
        entries = _integer(whole[is_entry])
        torn: list[tuple[int, int]] = []
        partly = np.flatnonzero((of > 0) & ~whole)
        if len(partly):
            places = np.cumsum(~is_entry) - 1
            torn = [(int(places[op]), _integer(kept[starts[op] : starts[op + 1]])) for op in partly]
        return CrashState(POWER_LOSS, moment, 0, keep, tuple(torn), entries)


def _integer(bits: "np.typing.NDArray[np.bool_]") -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
