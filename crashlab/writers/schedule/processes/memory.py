"""What the coordinator and its actors share, in mapped memory: the grant, the trace, and what the actors tell.

Only the process that has the token writes, so nothing here is locked. What was written outlives a process that is
killed. Records stand in one order, that of the schedule: their `ns` is their number, no clock's.
"""

import mmap
import struct
from enum import IntEnum

from crashlab.errors import LimitError
from crashlab.log.record import Record

__all__ = ["Shared", "Word"]

_WORDS_BYTES = 4096
_HEAD = struct.Struct("<HHI")
MAIL_BYTES = 1 << 16
TALE_BYTES = 16 << 20


class Word(IntEnum):
    """The words by their places. `TOLD` is the first of one for each actor."""

    LEFT = 0
    """Points of the grant; an actor that stops leaves what it has not used."""
    WHY = 1
    """Why the actor stopped: a `decide.Why`, or a `crew.Reply`."""
    CALL = 2
    TIMED = 3
    """Whether a wait may end because nobody else can run."""
    RAN_OUT = 4
    """Whether it did."""
    EVENTS = 5
    """Grows with whatever a blocked actor may wait for: a completed step, a signal, an end."""
    TRACE = 6
    """Bytes of the trace."""
    TALE = 7
    """Bytes of the records."""
    RECORDS = 8
    MAIL = 9
    """Bytes of the mail."""
    COMMAND = 10
    ASKS = 11
    """Whether who waits has something to ask when it is woken."""
    IN_VAIN = 12
    """Whether it was woken, asked, and waits on."""
    ACTOR = 13
    """Who plays, for a process that is told to."""
    TOLD = 16


class Shared:
    """The mapped memory of one crew; `trace_bytes`: two for each point that a schedule may have."""

    def __init__(self, trace_bytes: int) -> None:
        self._mail = _WORDS_BYTES
        self._trace = self._mail + MAIL_BYTES
        self._trace_bytes = trace_bytes
        self._tale = self._trace + (trace_bytes + 4095 & ~4095)
        self._map = mmap.mmap(-1, self._tale + TALE_BYTES)
        self.words = memoryview(self._map)[:_WORDS_BYTES].cast("Q")

    def clear(self) -> None:
        """Forget the last schedule."""
        self._map[:_WORDS_BYTES] = bytes(_WORDS_BYTES)

    def post(self, data: bytes) -> None:
        """Put a message for whoever gets the token next.

        Raises:
            LimitError: it is too long.
        """
        if len(data) > MAIL_BYTES:
            raise LimitError(f"a message of {len(data)} bytes to an actor, at most {MAIL_BYTES} have room")
        self._map[self._mail : self._mail + len(data)] = data
        self.words[Word.MAIL] = len(data)

    def mail(self) -> bytes:
        """Return the message."""
        return self._map[self._mail : self._mail + self.words[Word.MAIL]]

    def extend_trace(self, part: bytes | bytearray) -> None:
        """Append to the trace; what is beyond its end is left out (a run that long has been given up)."""
        at = self.words[Word.TRACE]
        part = part[: self._trace_bytes - at]
        self._map[self._trace + at : self._trace + at + len(part)] = bytes(part)
        self.words[Word.TRACE] = at + len(part)

    def trace(self) -> bytes:
        """Return the trace: two bytes for each call and mark, see `crashlab.writers.schedule.turns`."""
        return self._map[self._trace : self._trace + self.words[Word.TRACE]]

    def append(self, kind: int, process: int, payload: bytes) -> int:
        """Append a record and return its number.

        Raises:
            LimitError: there is no room left.
        """
        at = self.words[Word.TALE]
        end = at + _HEAD.size + len(payload)
        if end > TALE_BYTES:
            raise LimitError(f"the actors told more than {TALE_BYTES >> 20} MiB in one schedule; give it fewer steps")
        start = self._tale + at
        _HEAD.pack_into(self._map, start, kind, process, len(payload))
        self._map[start + _HEAD.size : self._tale + end] = payload
        number = self.words[Word.RECORDS]
        self.words[Word.TALE] = end  # published last: one that is killed leaves no torn record
        self.words[Word.RECORDS] = number + 1
        return number

    def records(self) -> list[Record]:
        """Return what was told, in order."""
        found: list[Record] = []
        at, end = self._tale, self._tale + self.words[Word.TALE]
        while at < end:
            kind, process, length = _HEAD.unpack_from(self._map, at)
            at += _HEAD.size
            number = len(found)
            found.append(Record(process, number, number, process, kind, self._map[at : at + length]))
            at += length
        return found

    def close(self) -> None:
        """Release the map."""
        self.words.release()
        self._map.close()
