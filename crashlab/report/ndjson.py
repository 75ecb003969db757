"""NDJSON: one event a line, appended as they come, by one writer."""

import errno
from typing import IO

import msgspec

from crashlab.engine.results.append import open_records
from crashlab.engine.results.read import RECORDS
from crashlab.errors import LimitError
from crashlab.model.event import Event

__all__ = ["FULL", "RECORDS", "RECORDS_BYTES_MAX", "NdjsonWriter", "open_records"]

RECORDS_BYTES_MAX = 2 << 30
FULL = "the disk of the records is full; free some space or point --results elsewhere"
_encode = msgspec.json.Encoder().encode


class NdjsonWriter:
    """A listener that appends every event to a stream.

    When the stream takes no more (its disk is full, its reader went away), that is said once, and the
    writer is silent from then on: what was written stays, and the run can still tell its result.

    Raises:
        LimitError: the records would outgrow their cap, or their disk is full.
        OSError: any other trouble of the stream, such as BrokenPipeError.
    """

    def __init__(self, stream: IO[bytes], bytes_max: int = RECORDS_BYTES_MAX) -> None:
        self._stream = stream
        self._left = bytes_max
        self._ended = False

    def __call__(self, event: Event) -> None:
        """Append one event."""
        if self._ended:
            return
        line = _encode(event) + b"\n"
        self._left -= len(line)
        if self._left < 0:
            self._ended = True
            raise LimitError("the records reached their cap; split the campaign or raise the cap")
        try:
            self._stream.write(line)
        except OSError as error:
            self._ended = True
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LimitError(FULL) from error
            raise

    def flush(self) -> None:
        """Push out what is buffered."""
        self._stream.flush()
