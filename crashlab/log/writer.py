"""Appending to the log: no system call per record, safe for threads, alive after a kill."""

import mmap
import os
import threading
from time import monotonic_ns

import msgspec

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
from crashlab.model.step import Effect

_encode = msgspec.msgpack.Encoder().encode
_get_ident = threading.get_ident


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
        self._lock = threading.RLock()
        # Next sequence number and position, moved in one store: a signal handler that raises can come between
        # any two others, and a record must then be there wholly or not at all.
        self._next = (0, HEADER_SIZE)
        self._number = -1
        self._pid = os.getpid()
        self._open_segment(0)

    def _open_segment(self, payload: int) -> None:
        self._number += 1
        if self._number >= self._segments_max:
            raise LimitError(
                f"log {self.base}: {self._number} segments of {self._segment_bytes} bytes are full; "
                "give the run fewer steps or raise the log's cap"
            )
        size = max(self._segment_bytes, HEADER_SIZE + RECORD.size + payload + 8)
        descriptor = os.open(segment_name(self.base, self._number), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        HEADER.pack_into(self._map, 0, MAGIC, VERSION, self.process, self._pid, self._number)
        self._words = memoryview(self._map).cast("Q")
        self._size = size
        self._next = (self._next[0], HEADER_SIZE)
        self._words[USED_SLOT] = HEADER_SIZE

    def append(self, kind: int, payload: bytes) -> int:
        """Append one record and return its sequence number in this process."""
        size = RECORD.size + len(payload)
        room = (size + 7) & ~7
        if os.getpid() != self._pid:
            self._continue_in_child()
        with self._lock:
            seq, position = self._next
            if position + room > self._size:
                self._open_segment(len(payload))
                position = HEADER_SIZE
            end = position + size
            RECORD.pack_into(self._map, position, size, kind, 0, seq, monotonic_ns(), _get_ident())
            self._map[position + RECORD.size : end] = payload
            self._next = (seq + 1, position + room)
            self._words[USED_SLOT] = position + room
            return seq

    def _continue_in_child(self) -> None:
        """After a fork the child writes a log of its own: two writers in one map would tear each other.

        Its process number there is its pid, so that its steps and phases are not taken for its parent's.
        """
        self._lock = threading.RLock()  # a thread of the parent may have held the old one
        self.process = self._pid = os.getpid()
        self.base = f"{self.base}-fork{self._pid}"
        self._number = -1
        self._next = (0, HEADER_SIZE)
        self._open_segment(0)

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
            self._words.release()
            self._map.close()
