"""The recorder's log: that of `crashlab.log`, written with less care, since no signal handler or finaliser appends."""

import contextlib
from threading import get_ident
from time import monotonic_ns

from crashlab.log.format import RECORD, USED_SLOT
from crashlab.log.writer import LogWriter

__all__ = ["RecorderLog"]

_pack, _HEAD_BYTES = RECORD.pack_into, RECORD.size
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE (Linux 5.14): all pages of a segment at once cost a fifth of a fault for each."""


class RecorderLog(LogWriter):
    """Safe for threads, not for an append inside an append; of one process, which never forks while it appends."""

    def append(self, kind: int, payload: bytes) -> int:
        """Append one record and return its sequence number."""
        size = _HEAD_BYTES + len(payload)
        with self._lock:
            seq, position, segment = self._at
            after = position + ((size + 7) & ~7)
            while segment is None or after > segment.size:
                self._open_segment((size + 7) & ~7, self._at)
                seq, position, segment = self._at
                if segment is not None:
                    with contextlib.suppress(OSError):
                        segment.map.madvise(_POPULATE_WRITE)
                after = position + ((size + 7) & ~7)
            _pack(segment.map, position, size, kind, 0, seq, monotonic_ns(), get_ident())
            segment.map[position + _HEAD_BYTES : position + size] = payload
            self._at = (seq + 1, after, segment)
            segment.words[USED_SLOT] = after  # published: what a kill of the lab leaves ends here
            return seq
