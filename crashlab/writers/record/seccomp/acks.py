"""Output as the ack channel: a line that is an ack goes into the log before it leaves the program."""

import os

from crashlab.log.writer import LogWriter
from crashlab.writers.program.output import AckLines

__all__ = ["Acks"]


class Acks:
    """Watches what is written to one open file, `output`, by whatever descriptor and process."""

    def __init__(self, log: LogWriter, pattern: str, output: int) -> None:
        status = os.fstat(output)
        self._key = (status.st_dev, status.st_ino)
        self._log, self._pattern = log, pattern
        self._lines: dict[int, AckLines] = {}

    def is_output(self, descriptor: int) -> bool:
        """Whether a descriptor of ours is that file."""
        status = os.fstat(descriptor)
        return (status.st_dev, status.st_ino) == self._key

    def see(self, process: int, data: bytes) -> None:
        """Log the acks in what a process is about to write; a line counts when its end is written."""
        lines = self._lines.get(process)
        if lines is None:
            lines = self._lines[process] = AckLines(self._log, self._pattern)
        lines.see(data)
