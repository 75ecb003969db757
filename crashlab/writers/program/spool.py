"""What the processes of a program tell the lab: one line of JSON each time, appended whole."""

import json
import os
from typing import Any

LINES_MAX = 1_000

# Taken before anything is replaced: what the lab says is no operation of the program.
_open, _write, _close = os.open, os.write, os.close


class Spool:
    """Appends to one file, from any process that knows its path; at most LINES_MAX lines a process."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines = 0

    def tell(self, line: dict[str, Any]) -> None:
        """Append one line."""
        self._lines += 1
        if self._lines > LINES_MAX:
            return
        descriptor = _open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            _write(descriptor, json.dumps({"pid": os.getpid(), **line}).encode() + b"\n")
        finally:
            _close(descriptor)


def read_spool(path: str) -> list[dict[str, Any]]:
    """Return what was told, whole lines only."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]
