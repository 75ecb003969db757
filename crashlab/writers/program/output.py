"""Output as the ack channel: a line that is an ack goes into the log before it leaves the process.

Standard output is then line-buffered, as at a terminal, so that a line leaves when the program says it.
"""

import io
import os
import re
import sys
from typing import Any

import msgspec.msgpack  # noqa: F401 - the log encodes acks with it; later the program's own path is searched

from crashlab.log.writer import LogWriter
from crashlab.writers.record.patch import Patch, unbound

ACK = "ack:"
"""A NOTE that begins so is an ack; what follows is the pattern's first group, empty if it has none."""

LINE_BYTES_MAX = 1 << 16


class AckLines:
    """Watches what is written to descriptor 1, line by line."""

    def __init__(self, log: LogWriter, pattern: str) -> None:
        self._log = log
        self._pattern = re.compile(pattern)
        self._rest = b""

    def see(self, data: bytes) -> None:
        """Log the acks in what is about to be written; a line counts when its end is written."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LINE_BYTES_MAX:]
        for line in lines:
            found = self._pattern.search(line.decode("utf-8", "replace"))
            if found is not None:
                self._log.note(ACK + (found.group(1) or "" if self._pattern.groups else ""))

    def install(self) -> None:
        """Put `sys.stdout` and `os.write` behind the watch."""
        see, real = self.see, os.write

        class Raw(io.RawIOBase):
            name, mode = "<stdout>", "wb"

            def writable(self) -> bool:
                return True

            def fileno(self) -> int:
                return 1

            def isatty(self) -> bool:
                return os.isatty(1)

            def write(self, data: Any, /) -> int:
                exact = bytes(data)
                see(exact)
                return real(1, exact)

        def write(fd: int, data: Any, /) -> int:
            if fd == 1:
                see(bytes(data))
            return real(fd, data)

        Patch([(real, unbound(write))]).apply()
        old = sys.stdout
        encoding = getattr(old, "encoding", None) or "utf-8"
        errors = getattr(old, "errors", None) or "strict"
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(Raw()), encoding, errors, line_buffering=True)
        sys.__stdout__ = sys.stdout  # type: ignore[misc]
