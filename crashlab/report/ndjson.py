"""NDJSON: one event a line, appended as they come, by one writer."""

from pathlib import Path
from typing import IO

import msgspec

from crashlab.errors import LimitError
from crashlab.model.event import Event

RECORDS_BYTES_MAX = 2 << 30
_encode = msgspec.json.Encoder().encode


class NdjsonWriter:
    """A listener that appends every event to a stream.

    Raises:
        LimitError: the records would outgrow their cap.
    """

    def __init__(self, stream: IO[bytes], bytes_max: int = RECORDS_BYTES_MAX) -> None:
        self._stream = stream
        self._left = bytes_max

    def __call__(self, event: Event) -> None:
        """Append one event."""
        line = _encode(event) + b"\n"
        self._left -= len(line)
        if self._left < 0:
            raise LimitError("the records reached their cap; split the campaign or raise the cap")
        self._stream.write(line)

    def flush(self) -> None:
        """Push out what is buffered."""
        self._stream.flush()


def open_records(directory: Path) -> IO[bytes]:
    """Open a run's record file, `records.ndjson`, new."""
    return open(directory / "records.ndjson", "xb")
