"""Appending to the log: no system call per record, safe for threads, alive after a kill."""

from __future__ import annotations

import itertools
import os
from _thread import RLock
from _thread import get_ident as _get_ident
from struct import Struct
from time import monotonic_ns

from crashlab.errors import LimitError
from crashlab.log.format import (
    HEADER_SIZE,
    NUMBER_SLOT,
    RECORD,
    SEGMENT_BYTES,
    SEGMENTS_MAX,
    USED_SLOT,
    Kind,
    segment_name,
)
from crashlab.log.segment import Segment, copy_out, drop_copy
from crashlab.log.trace import DONE, HEAD, TraceKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from crashlab.model.step import Effect

    _Place: TypeAlias = "tuple[int, int, Segment | None]"

_pack, _HEAD_BYTES = RECORD.pack, RECORD.size
# The kinds' plain numbers: an enum member is slower to pass to struct.
_WRITE, _DONE = int(TraceKind.WRITE), int(TraceKind.DONE)
_START_RECORD = Struct(RECORD.format + HEAD.format[1:])
_DONE_RECORD = Struct(RECORD.format + DONE.format[1:])
_pack_start, _START_BYTES = _START_RECORD.pack, _START_RECORD.size
_pack_done, _DONE_BYTES = _DONE_RECORD.pack, _DONE_RECORD.size
_DONE_ROOM = (_DONE_BYTES + 7) & ~7


def _encode(value: object) -> bytes:
    # Imported late: it takes longer than everything else that a program recorded from its start waits for.
    from msgspec.msgpack import encode

    return encode(value)


class LogWriter:
    """The log of one process. Every method is safe to call from any thread.

    The page cache keeps what was stored when the process dies of SIGKILL, so no sync is needed for
    process death; the log itself is not meant to survive a power loss of the lab's machine.

    Raises:
        LimitError: from any append, when the log would outgrow `bytes_max`.
    """

    def __init__(
        self, base: str, *, process: int = 0, segment_bytes: int = SEGMENT_BYTES, bytes_max: int = 1 << 30
    ) -> None:
        self.base = base
        self.process = process
        self._segment_bytes = segment_bytes
        self._segments_max = min(SEGMENTS_MAX, max(1, bytes_max // segment_bytes))
        self._lock = RLock()
        # Next sequence number, next position and the segment, moved in one store: a signal handler that raises
        # can come between any two others, and a record must then be there wholly or not at all.
        self._at: _Place = (0, 0, None)
        self._number = -1
        self._attempts = itertools.count()
        self._pid = os.getpid()
        self._open_segment(0, self._at)

    def _open_segment(self, room: int, at: _Place) -> None:
        """Go on in the next segment, unless somebody has moved on from `at` meanwhile."""
        full = at[2]
        if full is not None and full.size == self._segment_bytes >= HEADER_SIZE + room and self._go_on(at, full):
            return
        self._number += 1
        number = self._number
        if number >= self._segments_max:
            raise LimitError(
                f"log {self.base}: {number} segments of {self._segment_bytes} bytes are full; "
                "give the run fewer steps or raise the log's cap"
            )
        size = max(self._segment_bytes, HEADER_SIZE + room)
        segment = Segment.create(self.base, number, size, process=self.process, pid=self._pid)
        after = (at[0], HEADER_SIZE, segment)
        if self._at is at:  # else its file stays empty
            self._at = after

    def _go_on(self, at: _Place, full: Segment, *, rename: Callable[[str, str], None] = os.rename) -> bool:
        """Copy a full segment to its file and begin the next one in its memory; whether the system can.

        `rename`: the real one, which no recorder of files has replaced.
        """
        number, base = full.number + 1, self.base
        if number != self._number + 1 or number >= self._segments_max:
            return False
        copy = copy_out(base, full, at[1], next(self._attempts))
        if copy is None:
            return False
        own, words, word = segment_name(base, full.number), full.words, full.next_number_word
        after = (at[0], HEADER_SIZE, full.next())
        # As in `append`: whoever has moved on meanwhile has also made this copy, and the memory holds other records.
        if self._at is at:
            rename(copy, own)
        else:
            drop_copy(copy)
        if self._at is at:
            words[USED_SLOT] = HEADER_SIZE
            words[NUMBER_SLOT] = word
            self._number = number
            self._at = after
        return True

    def append(self, kind: int, payload: bytes) -> int:
        """Append one record and return its sequence number in this process."""
        size = _HEAD_BYTES + len(payload)
        room = (size + 7) & ~7
        if os.getpid() != self._pid:
            self._continue_in_child()
        with self._lock:
            while True:
                at = self._at
                seq, position, segment = at
                after = position + room
                if segment is None or after > segment.size:
                    self._open_segment(room, at)
                    continue
                memory, words, place = segment.map, segment.words, slice(position, position + size)
                record = _pack(size, kind, 0, seq, monotonic_ns(), _get_ident()) + payload
                now = (seq + 1, after, segment)
                # A finaliser or a signal handler can append in the middle of an append of its own thread (a connection
                # that the collector closes is recorded by the tap). No call and no allocation from this test to the
                # last store: nobody can come between, and the record is there wholly or not at all.
                if self._at is at:
                    memory[place] = record
                    self._at = now
                    words[USED_SLOT] = after  # published
                    return seq

    def write_around(self, file: int, data: bytes, do: Callable[..., int], *arguments: int) -> int:
        """Record a WRITE of the trace around `do(*arguments)` and return its result, which is the rc.

        The last argument is the offset. The same as two appends of what `crashlab.log.trace` says, for half of the
        time: of all that a recorded program does, this is what it does most.
        """
        length = len(data)
        size = _START_BYTES + length
        room = (size + 7) & ~7
        thread = _get_ident()
        if os.getpid() != self._pid:
            self._continue_in_child()
        with self._lock:
            while True:
                at = self._at
                start, position, segment = at
                after = position + room
                if segment is None or after > segment.size:
                    self._open_segment(room, at)
                    continue
                body = position + _START_BYTES
                memory, words, place, rest = (
                    segment.map,
                    segment.words,
                    slice(position, body),
                    slice(body, body + length),
                )
                head = _pack_start(size, _WRITE, 0, start, monotonic_ns(), thread, file, 0, arguments[-1])
                now = (start + 1, after, segment)
                if self._at is at:  # as in `append`
                    memory[place] = head
                    memory[rest] = data
                    self._at = now
                    words[USED_SLOT] = after
                    break
            rc = do(*arguments)
            while True:
                at = self._at
                seq, position, segment = at
                after = position + _DONE_ROOM
                if segment is None or after > segment.size:
                    self._open_segment(_DONE_ROOM, at)
                    continue
                memory, words, place = segment.map, segment.words, slice(position, position + _DONE_BYTES)
                record = _pack_done(_DONE_BYTES, _DONE, 0, seq, monotonic_ns(), thread, start, rc)
                now = (seq + 1, after, segment)
                if self._at is at:
                    memory[place] = record
                    self._at = now
                    words[USED_SLOT] = after
                    return rc

    def _continue_in_child(self) -> None:
        """After a fork the child writes a log of its own: two writers in one map would tear each other.

        Its process number there is its pid, so that its steps and phases are not taken for its parent's.
        """
        self._lock = RLock()  # a thread of the parent may have held the old one
        self.process = self._pid = os.getpid()
        self.base = f"{self.base}-fork{self._pid}"
        self._number = -1
        self._at = (0, 0, None)
        self._open_segment(0, self._at)

    def begin(self, lane: str, seq: int, effects: tuple[Effect, ...]) -> None:
        """Record that a step begins, with the effects that it may have."""
        self.append(Kind.BEGIN, _encode((lane, seq, effects)))

    def ack(self, lane: str, seq: int, effects: tuple[Effect, ...] | None) -> None:
        """Record that a step's commit returned; None means that all its possible effects happened."""
        self.append(Kind.ACK, _encode((lane, seq, effects)))

    def refused(self, lane: str, seq: int, error: str) -> None:
        """Record that a step raised: whether its commit happened is unknown."""
        self.append(Kind.REFUSED, _encode((lane, seq, error)))

    def enter(self, phase: str, detail: str = "") -> None:
        """Record that the calling thread enters a phase."""
        self.append(Kind.ENTER, _encode((phase, detail)))

    def leave(self, phase: str, detail: str = "") -> None:
        """Record that the calling thread leaves a phase."""
        self.append(Kind.LEAVE, _encode((phase, detail)))

    def note(self, text: str) -> None:
        """Record a remark."""
        self.append(Kind.NOTE, _encode(text))

    def setting(self, name: str, value: str) -> None:
        """Record an effective setting of a connection."""
        self.append(Kind.SETTING, _encode((name, value)))

    def fired(self, how: str) -> None:
        """Record that the crash point was reached, just before the fault is let loose."""
        self.append(Kind.FIRED, _encode(how))

    def close(self) -> None:
        """Release the map; the file stays."""
        with self._lock:
            segment = self._at[2]
            if segment is not None:
                segment.close()
