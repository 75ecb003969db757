"""Appending to the log: no system call per record, safe for threads, alive after a kill."""

from __future__ import annotations

import mmap
import os
from _thread import RLock
from _thread import get_ident as _get_ident
from time import monotonic_ns

from crashlab.errors import LimitError
from crashlab.log.format import (
    HEADER,
    HEADER_SIZE,
    MAGIC,
    RECORD,
    SEGMENT_BYTES,
    SEGMENTS_MAX,
    USED_SLOT,
    VERSION,
    Kind,
    segment_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from crashlab.model.step import Effect

    _Place: TypeAlias = "tuple[int, int, _Segment | None]"
    _Record: TypeAlias = "tuple[_Place, int, int, int, bytes, _Place]"


def _encode(value: object) -> bytes:
    # Imported late: it takes longer than everything else that a program recorded from its start waits for.
    from msgspec.msgpack import encode

    return encode(value)


class _Segment:
    """One mapped segment file."""

    __slots__ = ("map", "size", "words")

    def __init__(self, base: str, number: int, size: int) -> None:
        self.size = size
        descriptor = os.open(segment_name(base, number), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self.map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.words = memoryview(self.map).cast("Q")


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
        # The record being put. A finaliser or a signal handler can append in the middle of an append of its own
        # thread (a connection that the collector closes is recorded by the tap): it finishes this one first.
        self._pending: _Record | None = None
        self._number = -1
        self._pid = os.getpid()
        self._open_segment(0, self._at)

    def _open_segment(self, payload: int, at: _Place) -> None:
        """Go on in a new segment, unless somebody has moved on from `at` meanwhile (its file stays empty)."""
        self._number += 1
        number = self._number
        if number >= self._segments_max:
            raise LimitError(
                f"log {self.base}: {number} segments of {self._segment_bytes} bytes are full; "
                "give the run fewer steps or raise the log's cap"
            )
        segment = _Segment(self.base, number, max(self._segment_bytes, (HEADER_SIZE + RECORD.size + payload + 15) & ~7))
        HEADER.pack_into(segment.map, 0, MAGIC, VERSION, self.process, self._pid, number)
        segment.words[USED_SLOT] = HEADER_SIZE
        after = (at[0], HEADER_SIZE, segment)
        if self._at is at:
            self._at = after

    def append(self, kind: int, payload: bytes) -> int:
        """Append one record and return its sequence number in this process."""
        room = (RECORD.size + len(payload) + 7) & ~7
        if os.getpid() != self._pid:
            self._continue_in_child()
        with self._lock:
            if self._pending is not None:
                self._put(self._pending)
            while True:
                at = self._at
                seq, position, segment = at
                if segment is None or position + room > segment.size:
                    self._open_segment(len(payload), at)
                    continue
                record = (at, kind, monotonic_ns(), _get_ident(), payload, (seq + 1, position + room, segment))
                # No call and no allocation from this test to the store: nobody can come between.
                if self._at is at:
                    self._pending = record
                    break
            self._put(record)
            return seq

    def _put(self, record: _Record) -> None:
        """Write a record at its place and publish it; doing it twice does no harm."""
        at, kind, ns, thread, payload, after = record
        seq, position, segment = at
        end = position + RECORD.size + len(payload)
        RECORD.pack_into(segment.map, position, end - position, kind, 0, seq, ns, thread)  # type: ignore[union-attr]
        segment.map[position + RECORD.size : end] = payload  # type: ignore[union-attr]
        if self._at is at:
            self._at = after
        self._at[2].words[USED_SLOT] = self._at[1]  # type: ignore[union-attr]
        if self._pending is record:
            self._pending = None

    def _continue_in_child(self) -> None:
        """After a fork the child writes a log of its own: two writers in one map would tear each other.

        Its process number there is its pid, so that its steps and phases are not taken for its parent's.
        """
        self._lock = RLock()  # a thread of the parent may have held the old one
        self.process = self._pid = os.getpid()
        self.base = f"{self.base}-fork{self._pid}"
        self._number = -1
        self._at = (0, 0, None)
        self._pending = None
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
                segment.words.release()
                segment.map.close()
