"""The class of a crash state: which states recover to the same logical content, without recovering them.

In WAL mode SQLite recovers by reading the WAL up to the first frame that is not valid, back to the last commit
before it, and takes every page of those frames from there and all other pages from the main file
(https://sqlite.org/wal.html, https://sqlite.org/walformat.html). So the class is

    (WAL generation, last commit frame reachable, durable state of the main file,
     kept operations on the main file that those frames do not cover, everything about other files)

A frame is reachable when of all bytes that its writes change none is missing. Two states of one class differ
only in bytes that recovery does not look at. What this rests on is checked for each moment; where it does not
hold, `reasons` has the name of why, and every different disk is then recovered by itself.
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from crashlab.log.trace import Role, TraceKind
from crashlab.states.bits import Bits, Ints, below, first_set, last_set, unpack
from crashlab.states.generations import BELOW_NOTHING, WAL_HEADER, Generation, Generations
from crashlab.states.models import Batch
from crashlab.states.pending import ENTRY_KINDS, Epoch
from crashlab.states.pieces import Pieces
from crashlab.states.state import SECTOR
from crashlab.states.trace import Trace

__all__ = ["DIRECT", "ClassKey", "Classifier"]

DIRECT = -1
"""The class number of a state that no class covers."""

UNSYNCED = "frames were written before their WAL header was synced: synchronous=OFF"
_FAR = 1 << 40
_DATABASE_ROLES = frozenset({Role.MAIN, Role.WAL, Role.JOURNAL, Role.SUPER_JOURNAL})

ClassKey = tuple[int, int, int, int, bytes]
"""Generation, frames up to the last reachable commit, main version, version of the rest, exact rest."""


class Classifier:
    """Classes of the crash states of one database in a trace.

    Enter the epochs in order, from the first; `classify` is about the epoch entered last. Class numbers count
    from 0 and are those of `keys`.
    """

    def __init__(self, trace: Trace, database: str) -> None:
        self.trace = trace
        self.database = database
        self.generations = Generations(trace)
        self.keys: list[ClassKey] = []
        self._numbers: dict[ClassKey, int] = {}
        self._commits: dict[int, Ints] = {}
        self._format_changes = set(self.generations.format_changes)
        self._restart()

    def _restart(self) -> None:
        self._sizes: dict[int, int] = {}
        self._main_version = 0
        self._other_version = 0
        self.reasons: list[str] = []

    def enter(self, epoch: Epoch) -> list[str]:
        """Go on to an epoch; return for each of its moments why it is outside the classes, "" where it isn't."""
        if epoch.number == 0:
            self._restart()
        self.epoch = epoch
        self._main = epoch.names.get(self.database, -1)
        self._wal = epoch.names.get(self.database + "-wal", -1)
        for op in epoch.settled:
            self._settle(op)
        self._view: _View | None = None
        self.reasons = self._reasons(epoch)
        return self.reasons

    def outside(self, epoch: Epoch) -> list[bool]:
        """`enter`, for a plan: which moments are outside the classes."""
        return [bool(reason) for reason in self.enter(epoch)]

    def _size(self, inode: int) -> int:
        if inode not in self._sizes:
            self._sizes[inode] = len(self.trace.initial_bytes(inode))
        return self._sizes[inode]

    def _settle(self, op: int) -> None:
        trace = self.trace
        inode = trace.inodes[op]
        kind = trace.kinds[op]
        if kind == TraceKind.WRITE:
            self._sizes[inode] = max(self._size(inode), trace.offsets[op] + trace.lengths[op])
        elif kind == TraceKind.TRUNCATE:
            self._sizes[inode] = trace.offsets[op]
        if kind not in ENTRY_KINDS and inode == self._main:
            self._main_version += 1
        elif kind in ENTRY_KINDS or inode != self._wal:
            self._other_version += 1

    def _reasons(self, epoch: Epoch) -> list[str]:
        files = self.trace.files
        constant = self._constant_reason(epoch)
        found: list[str] = []
        sticky = constant
        off = _FAR if self.generations.unsynced is None else self.generations.unsynced + 1
        done = 0
        pending_generation = -1
        for place, count in enumerate(epoch.counts):
            moment = epoch.first + place
            while done < count and not sticky:
                op = epoch.pending[done]
                inode = self.trace.inodes[op]
                if self.trace.kinds[op] in ENTRY_KINDS:
                    if files[inode].role in _DATABASE_ROLES:
                        sticky = "directory entries of the database are not synced"
                elif inode == self._wal:
                    number = self.generations.of[op]
                    if self.trace.kinds[op] == TraceKind.TRUNCATE:
                        sticky = "a truncation of the WAL is not synced"
                    elif number < 0:
                        sticky = "a write to the WAL belongs to no generation"
                    elif pending_generation not in (-1, number):
                        sticky = "an earlier generation of the WAL is not synced"
                    pending_generation = number
                elif inode == self._main:
                    if op in self._format_changes:
                        sticky = "the page size or the journal mode changes"
                    elif self.trace.kinds[op] == TraceKind.TRUNCATE and not self.trace.offsets[op]:
                        sticky = "the main file is emptied"
                elif files[inode].role in _DATABASE_ROLES:
                    sticky = "another file of SQLite is not synced"
                done += 1
            found.append(UNSYNCED if off <= moment else sticky or self._moment_reason(moment))
        return found

    def _constant_reason(self, epoch: Epoch) -> str:
        files = self.trace.files
        roles = [files[inode].role for inode in epoch.names.values()]
        if self._main < 0:
            return "the database's directory entry is not synced"
        if roles.count(Role.MAIN) > 1:
            return "several databases"
        if Role.JOURNAL in roles or Role.SUPER_JOURNAL in roles:
            return "a rollback journal"
        if self._wal < 0:
            return "no WAL"
        return "" if self._size(self._main) else "the main file is empty"

    def _moment_reason(self, moment: int) -> str:
        generation = self.generations.at(self._wal, moment)
        if generation is None:
            return "no WAL header"
        if generation.broken is not None and generation.broken < moment:
            return generation.reason
        if any(op < moment and inode in (self._main, self._wal) for op, inode in self.trace.failed_writes):
            return "a write failed"
        return ""

    def classify(self, batch: Batch) -> Ints:
        """Return the class number of each state of a power loss, DIRECT where there is none."""
        view = self._view_of(batch.pieces)
        return self._classify(view, batch.moments, batch.rows)

    def classify_kills(self, batch: Batch) -> Ints:
        """Return the class number of each state of a kill."""
        view = self._view_of(batch.pieces)
        epoch = self.epoch
        moments = np.arange(epoch.first, epoch.last + 1)
        exists = batch.pieces.starts[np.array(epoch.counts)]
        whole = self._classify(view, moments, below(exists, batch.pieces.words))
        classes: Ints = whole[batch.moments - epoch.first]
        torn = np.flatnonzero(batch.torn_bytes)
        at = batch.moments[torn]
        for moment in np.unique(at).tolist():
            chosen = torn[at == moment]
            classes[chosen] = self._torn(moment, batch.torn_bytes[chosen], whole)
        return classes

    def _torn(self, moment: int, sizes: Ints, whole: Ints) -> Ints:
        """Classes of a moment with the first bytes of its next operation, a write."""
        trace = self.trace
        place = moment - self.epoch.first
        before, after = int(whole[place]), int(whole[place + 1])
        inode = trace.inodes[moment]
        if before == DIRECT or after == DIRECT:
            return np.full(len(sizes), DIRECT)
        if inode == self._wal and self.generations.frame[moment] >= 0:
            return np.where(sizes >= self._needed(moment), after, before)
        if inode == self._main and self._covered(moment, self.keys[before]):
            return np.full(len(sizes), before)
        return np.full(len(sizes), DIRECT)

    def _needed(self, op: int) -> int:
        """How many of a write's first bytes make it as good as whole."""
        under = self.generations.below[op]
        data = self.trace.data(op)
        if under == BELOW_NOTHING:
            return len(data)
        differing = np.flatnonzero(np.frombuffer(data, np.uint8) != np.frombuffer(self.trace.data(under), np.uint8))
        return int(differing[-1]) + 1 if len(differing) else 0

    def _covered(self, op: int, key: ClassKey) -> bool:
        generation = self.generations.all[key[0]]
        return _cover_frame(self.trace, op, generation) < key[1]

    def _view_of(self, pieces: Pieces) -> "_View":
        if self._view is None or self._view.pieces is not pieces:
            self._view = _View(self.trace, self.generations, pieces, self._main, self._wal, self.reasons)
            self._view.wal_size = self._size(self._wal) if self._wal >= 0 else 0
        return self._view

    def _classify(self, view: "_View", moments: Ints, rows: Bits) -> Ints:
        pieces = view.pieces
        place = moments - self.epoch.first
        classes: Ints = np.full(len(moments), DIRECT, dtype=np.int64)
        inside = np.flatnonzero(~view.outside[place])
        if not len(inside):
            return classes
        if len(inside) < len(moments):
            place, rows = place[inside], rows[inside]
        frames = view.done[place]
        if view.has_wal:
            exists = below(view.exists[place], pieces.words)
            lost = ~rows & exists & view.changing
            frames = np.minimum(frames, view.frame[first_set(lost, pieces.total)])
            extent = np.maximum(view.end[last_set(rows & view.wal)], view.wal_size)
            frames = np.minimum(frames, np.maximum(extent - WAL_HEADER, 0) // view.stride[place])
        header_lost = frames < 0
        number = view.number[place]
        found = np.full(len(place), DIRECT, dtype=np.int64)
        for generation in np.unique(number).tolist():
            mine = number == generation
            chosen = np.flatnonzero(mine & ~header_lost)
            commits = self._commits_of(generation)
            reached = commits[np.searchsorted(commits, frames[chosen], side="right") - 1]
            for commit in np.unique(reached).tolist():
                members = chosen[reached == commit]
                exact = view.exact_mask(self.generations.all[generation], commit)
                if exact is None:
                    found[members] = self._number((generation, commit, self._main_version, self._other_version, b""))
                else:
                    found[members] = self._exact(view, rows[members] & exact, generation, commit)
        classes[inside] = found
        return classes

    def _exact(self, view: "_View", rest: Bits, generation: int, commit: int) -> Ints:
        """Number classes that also differ in what must be kept exactly."""
        unique, inverse = np.unique(rest, axis=0, return_inverse=True)
        numbers = np.array(
            [
                self._number((generation, commit, self._main_version, self._other_version, view.identity(row)))
                for row in unique
            ],
            dtype=np.int64,
        )
        result: Ints = numbers[inverse.reshape(-1)]
        return result

    def _commits_of(self, number: int) -> Ints:
        found = self._commits.get(number)
        if found is None:
            found = self._commits[number] = np.array([0, *self.generations.all[number].commits], dtype=np.int64)
        return found

    def _number(self, key: ClassKey) -> int:
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.keys)
            self.keys.append(key)
        return found


class _View:
    """What classifying an epoch's pieces needs, as arrays over its pieces and its moments."""

    def __init__(
        self, trace: Trace, generations: Generations, pieces: Pieces, main: int, wal: int, reasons: list[str]
    ) -> None:
        self.pieces = pieces
        self.wal_size = 0
        self._trace = trace
        epoch = pieces.epoch
        self.outside = np.array([bool(reason) for reason in reasons])
        self.exists: Ints = pieces.starts[np.array(epoch.counts)]
        moments = range(epoch.first, epoch.last + 1)
        at = [
            generations.at(wal, moment) if not reason else None for moment, reason in zip(moments, reasons, strict=True)
        ]
        self.number = np.array([-1 if g is None else g.number for g in at], dtype=np.int64)
        self.stride = np.array([1 if g is None else g.stride for g in at], dtype=np.int64)
        self.done = np.array(
            [0 if g is None else bisect_left(g.ready, moment) for g, moment in zip(at, moments, strict=True)],
            dtype=np.int64,
        )
        self._lay_out(generations, main, wal)

    def _lay_out(self, generations: Generations, main: int, wal: int) -> None:
        """Fill the arrays over pieces; positions after the last stand for "none"."""
        trace, pieces = self._trace, self.pieces
        total = pieces.total
        self.frame: Ints = np.full(total + 1, _FAR, dtype=np.int64)
        self.end: Ints = np.zeros(total + 1, dtype=np.int64)  # the last serves last_set's -1
        changing = np.zeros(total, dtype=np.bool_)
        is_wal = np.zeros(total, dtype=np.bool_)
        is_other = np.zeros(total, dtype=np.bool_)
        self._main_ops: list[int] = []
        starts = pieces.starts.tolist()
        for place, op in enumerate(pieces.epoch.pending):
            low, high = starts[place], starts[place + 1]
            inode = trace.inodes[op]
            if trace.kinds[op] in ENTRY_KINDS or inode not in (main, wal):
                is_other[low:high] = True
            elif inode == main:
                self._main_ops.append(place)
            elif generations.of[op] >= 0:
                self.frame[low:high] = generations.frame[op]
                is_wal[low:high] = True
                self._wal_pieces(trace, op, generations.below[op], low, high, changing)
        self.changing = pieces.mask(changing)
        self.wal = pieces.mask(is_wal)
        self.has_wal = bool(is_wal.any())
        self._other = is_other
        self._has_other = bool(is_other.any())
        self._cover: dict[int, NDArray[np.int64]] = {}
        self._exact: dict[tuple[int, int], Bits | None] = {}

    def _wal_pieces(
        self, trace: Trace, op: int, under: int, low: int, high: int, changing: "NDArray[np.bool_]"
    ) -> None:
        offset, length = trace.offsets[op], trace.lengths[op]
        data = np.frombuffer(trace.data(op), dtype=np.uint8)
        other = data != (0 if under == BELOW_NOTHING else np.frombuffer(trace.data(under), dtype=np.uint8))
        if high - low == 1:
            self.end[low] = offset + length
            changing[low] = other.any()
            return
        cuts = np.arange(high - low, dtype=np.int64) * SECTOR - offset % SECTOR
        cuts[0] = 0
        changing[low:high] = np.logical_or.reduceat(other, cuts)
        self.end[low:high] = offset + np.append(cuts[1:], length)

    def exact_mask(self, generation: Generation, commit: int) -> Bits | None:
        """Return the pieces that are part of the class as they are; None when there are none."""
        if not self._main_ops and not self._has_other:
            return None
        key = (generation.number, commit)
        if key not in self._exact:
            chosen = self._other.copy()
            starts = self.pieces.starts
            for place, frame in zip(self._main_ops, self._cover_of(generation).tolist(), strict=True):
                op = self.pieces.epoch.pending[place]
                if self._trace.kinds[op] == TraceKind.TRUNCATE:
                    # Cutting off what no longer belongs to the database changes nothing.
                    pages = generation.sizes[bisect_left(generation.commits, commit)] if commit else _FAR
                    exact = self._trace.offsets[op] < pages * generation.page_size
                else:
                    exact = frame >= commit
                if exact:
                    chosen[starts[place] : starts[place + 1]] = True
            self._exact[key] = self.pieces.mask(chosen) if chosen.any() else None
        return self._exact[key]

    def _cover_of(self, generation: Generation) -> "NDArray[np.int64]":
        found = self._cover.get(generation.number)
        if found is None:
            pending = self.pieces.epoch.pending
            frames = [_cover_frame(self._trace, pending[place], generation) for place in self._main_ops]
            found = self._cover[generation.number] = np.array(frames, dtype=np.int64)
        return found

    def identity(self, row: Bits) -> bytes:
        """Return bytes that stand for the pieces of one row in the whole trace."""
        pieces = np.flatnonzero(unpack(row[None, :], self.pieces.total)[0])
        places = self.pieces.op_of[pieces]
        ops = np.array(self.pieces.epoch.pending, dtype=np.int64)[places]
        return (ops * 4096 + (pieces - self.pieces.starts[places])).astype("<i8").tobytes()


def _cover_frame(trace: Trace, op: int, generation: Generation) -> int:
    """Return the first frame from which on the WAL hides what a write to the main file changes."""
    first = trace.offsets[op] // generation.page_size
    last = (trace.offsets[op] + max(1, trace.lengths[op]) - 1) // generation.page_size
    return max(generation.first_frame.get(page + 1, _FAR) for page in range(first, last + 1))
