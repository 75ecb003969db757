"""A recorded run on the rendezvous clock, as exposure: what was outside the main file at every moment.

Time passes only where the clock moved, so between two of its moves the files rest: these are the `Rest`s, and
a fault at a random time meets one of them with the probability of its length. Inside a step or a checkpoint no
clock time passes; those moments are counted as crash points.
"""

import struct
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import NamedTuple

import msgspec

from crashlab.decide.study.pages import Difference, Pages
from crashlab.decide.study.rows import Rows
from crashlab.log.format import Kind
from crashlab.log.record import Record
from crashlab.log.trace import Role, TraceKind
from crashlab.model.history import History
from crashlab.model.phase import MARK_CHECKPOINT, MARK_CLOSE, MARK_COMMIT
from crashlab.states.trace import Trace
from crashlab.writers.clock import CLOCK_NOTE

__all__ = ["Rest", "Track", "follow"]

_WAL_HEADER, _FRAME_HEADER = 32, 24
_MAGICS = (0x377F0682, 0x377F0683)
_text = msgspec.msgpack.Decoder(str)


class Rest(NamedTuple):
    """The files between two moves of the clock, from `start` to `end` seconds.

    `moment`: operations done. `frames`: committed frames not in main. `rows`: rows of acked steps whose commit has
    such a frame. `oldest`: clock time of the oldest of these acks, None without one. `unsynced`: rows of acked
    steps that no sync has covered. `cycle`: how often the oldest exposed commit had moved on before.
    """

    start: float
    end: float
    moment: int
    frames: int
    rows: int
    oldest: float | None
    unsynced: int
    cycle: int


class Track(NamedTuple):
    """What `follow` found between the first step and the last move of the clock.

    `crash_points`: operations. `backfills`: (first, last) moments strictly inside a backfill: some of its pages
    are written, not all. `completions`: how often the main file caught up with the WAL, by phase. `advances`: how
    often the oldest exposed commit moved on. `checkpoints`: that the program asked for. `committed`: frames
    committed. `exposed`: moment → exposed frames, for cross-checks. `odd`: operations of none of SQLite's
    usual shapes; figures of such a run are worth less.
    """

    rests: tuple[Rest, ...]
    crash_points: int
    backfills: tuple[tuple[int, int], ...]
    completions: Counter[str]
    advances: int
    checkpoints: int
    committed: int
    wal_bytes_max: int
    exposed: tuple[int, ...]
    odd: int


def follow(trace: Trace, records: list[Record], history: History, database: str) -> Track:
    """Follow one database, by its name, through a trace with the marks of its run and their history."""
    return _Follower(trace, records, history, database).run()


class _Follower:
    def __init__(self, trace: Trace, records: list[Record], history: History, database: str) -> None:
        self._trace = trace
        self._main_path, self._wal_path = database, f"{database}-wal"
        self._pages = Pages()
        self._rows = Rows(history)
        self._checkpoints = _Checkpoints(history)
        self._moves = _moves(records)
        self._first = min((step.begin_seq for step in history.steps if step.process == 0), default=0)
        self._exposed = 0
        self._backfill: list[int] = []
        self._backfills: list[tuple[int, int]] = []
        self._completions: Counter[str] = Counter()
        self._odd = self._wal_size = self._wal_max = self._committed = self._cycle = 0
        self._counting = False

    def run(self) -> Track:
        trace = self._trace
        rests: list[Rest] = []
        exposed: list[int] = []
        moment = first = 0
        clock = 0.0
        for seq, to in self._moves:
            while moment < len(trace) and trace.seq[moment] < seq:
                if not self._counting and trace.seq[moment] > self._first:
                    self._start_counting()
                    first = moment
                exposed.append(self._exposed)
                self._do(moment)
                moment += 1
            self._end_backfill()
            rests.append(self._rest(clock, to, moment, seq))
            self._rows.now = clock = to
        exposed.append(self._exposed)
        last = self._moves[-1][0] if self._moves else 0
        return Track(
            tuple(rests),
            moment - first + 1,
            tuple(self._backfills),
            self._completions,
            self._cycle,
            self._checkpoints.between(self._first, last),
            self._committed,
            self._wal_max,
            tuple(exposed),
            self._odd,
        )

    def _start_counting(self) -> None:
        self._end_backfill()
        self._backfills.clear()
        self._counting = True
        self._committed = 0
        self._wal_max = self._wal_size

    def _rest(self, start: float, end: float, moment: int, seq: int) -> Rest:
        rows = self._rows
        rows.acked(seq)
        before = rows.oldest
        oldest = rows.oldest_ack()
        if self._counting and rows.oldest != before:
            self._cycle += 1
        return Rest(start, end, moment, self._exposed, rows.exposed, oldest, rows.unsynced, self._cycle)

    def _do(self, op: int) -> None:
        trace = self._trace
        inode, kind = trace.inodes[op], trace.kinds[op]
        if inode < 0 or not kind:
            return
        path = trace.files[inode].path
        if path == self._wal_path and trace.files[inode].role is Role.WAL:
            self._wal(op, kind)
        elif path == self._main_path:
            self._main(op, kind)

    def _wal(self, op: int, kind: int) -> None:
        trace = self._trace
        if kind == TraceKind.SYNC:
            self._rows.synced()
        elif kind in (TraceKind.DELETE, TraceKind.TRUNCATE):
            self._wal_size = trace.offsets[op] if kind == TraceKind.TRUNCATE else 0
            if self._wal_size < _WAL_HEADER:
                self._changed(op, self._pages.begin(self._pages.size))
        elif kind == TraceKind.WRITE:
            self._end_backfill()
            self._wal_size = max(self._wal_size, trace.offsets[op] + trace.lengths[op])
            self._wal_max = max(self._wal_max, self._wal_size)
            if trace.offsets[op]:
                self._frame(op)
            else:
                self._header(op)

    def _header(self, op: int) -> None:
        head = self._trace.data(op)
        if len(head) < _WAL_HEADER:
            self._odd += 1
            return
        magic, _version, size = struct.unpack_from(">3I", head)
        self._changed(op, self._pages.begin(size if magic in _MAGICS else 0))

    def _frame(self, op: int) -> None:
        pages, data = self._pages, self._trace.data(op)
        if not pages.size:
            self._odd += 1
            return
        frame, within = divmod(self._trace.offsets[op] - _WAL_HEADER, _FRAME_HEADER + pages.size)
        if within == 0 and len(data) in (_FRAME_HEADER, _FRAME_HEADER + pages.size):
            pages.announce(frame, *struct.unpack_from(">II", data))
            data = data[_FRAME_HEADER:]
        elif within != _FRAME_HEADER or len(data) != pages.size:
            self._odd += 1
            return
        before = pages.committed
        if len(data) and pages.complete(frame, data):
            self._rows.commit(self._trace.seq[op])
            self._changed(op, pages.commit(self._rows.newest))
            self._committed += pages.committed - before

    def _main(self, op: int, kind: int) -> None:
        trace, pages = self._trace, self._pages
        offset, length = trace.offsets[op], trace.lengths[op]
        if kind == TraceKind.SYNC:
            self._end_backfill()
        elif kind == TraceKind.TRUNCATE:
            pages.cut_main(offset)
        elif kind == TraceKind.WRITE:
            size = pages.size or length
            if offset % size or length % size:
                self._odd += 1
                return
            if len(pages):
                self._backfill.append(op)
            data = trace.data(op)
            for at in range(0, length, size):
                self._changed(op, pages.main_write((offset + at) // size + 1, data[at : at + size]))

    def _changed(self, op: int, difference: Difference) -> None:
        """Tell the rows which commits have more or fewer exposed frames."""
        before = self._exposed
        for commit, frames in difference.items():
            if frames:
                self._exposed += frames
                self._rows.change(commit, frames)
        if self._counting and before and not self._exposed:
            self._completions[self._checkpoints.at(self._trace.ns[op])] += 1

    def _end_backfill(self) -> None:
        if len(self._backfill) > 1:
            self._backfills.append((self._backfill[0] + 1, self._backfill[-1]))
        self._backfill.clear()


class _Checkpoints:
    """When the program was inside a checkpoint of its own, closing left out."""

    def __init__(self, history: History) -> None:
        closing = min((p.enter_seq for p in history.phases if p.name == MARK_CLOSE and not p.process), default=1 << 62)
        own = [p for p in history.phases if not p.process and p.name == MARK_CHECKPOINT and p.enter_seq < closing]
        self._seqs = sorted(phase.enter_seq for phase in own)
        self._spans = sorted((phase.enter_ns, phase.leave_ns) for phase in own)

    def at(self, ns: int) -> str:
        """`checkpoint`, or `commit`: there SQLite checkpoints of its own accord."""
        place = bisect_right(self._spans, (ns, 1 << 62)) - 1
        return MARK_CHECKPOINT if place >= 0 and ns <= self._spans[place][1] else MARK_COMMIT

    def between(self, first: int, last: int) -> int:
        """How many began between two places in the log."""
        return bisect_left(self._seqs, last) - bisect_left(self._seqs, first)


def _moves(records: list[Record]) -> list[tuple[int, float]]:
    """The places in process 0's log where the clock moved, and where to, in seconds since its start."""
    notes = (
        (record.seq, _text.decode(record.payload))
        for record in records
        if record.kind == Kind.NOTE and record.process == 0
    )
    return [(seq, int(text[len(CLOCK_NOTE) :]) / 1e9) for seq, text in notes if text.startswith(CLOCK_NOTE)]
