"""A file through which processes tell their hazards: forked children, and programs started by `crashlab hazards`."""

import json
import os
import sys
import tempfile
from typing import Any

from crashlab.diagnosis.hazards.hazard import Hazard

BYTES_MAX = 8 << 20


class Spool:
    """One JSON object a line, appended whole. `path`: of an existing file; without one it has no name.

    A program may close descriptors that it does not know, and the number may then be another file's, so it is
    looked at before each write.
    """

    def __init__(self, path: str | None = None) -> None:
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        if path is None:
            made, name = tempfile.mkstemp(prefix="crashlab-hazards-")
            os.close(made)
            self._descriptor = os.open(name, flags)
            if sys.platform == "win32":
                self._name = name
            else:
                os.unlink(name)
                self._name = ""
        else:
            self._descriptor, self._name = os.open(path, flags), ""
        self._identity = self._now()
        self._read = os.fstat(self._descriptor).st_size

    def tell(self, hazard: Hazard) -> None:
        """Append a hazard."""
        self.write({"hazard": hazard.as_data()})

    def write(self, data: dict[str, Any]) -> None:
        """Append an object; nothing is written when there is no room or the descriptor is no longer ours."""
        line = json.dumps(data).encode() + b"\n"
        try:
            status = os.fstat(self._descriptor)
            if (status.st_dev, status.st_ino) == self._identity and status.st_size + len(line) <= BYTES_MAX:
                os.write(self._descriptor, line)
        except OSError:
            return

    def read(self) -> list[Hazard]:
        """Return the hazards appended since the last call."""
        if self._now() != self._identity:
            return []
        end = os.fstat(self._descriptor).st_size
        if end <= self._read:
            return []
        data = os.pread(self._descriptor, end - self._read, self._read) if hasattr(os, "pread") else b""
        whole = data.rpartition(b"\n")[0]
        self._read += len(whole) + 1 if whole else 0
        lines = map(json.loads, whole.splitlines())
        return [Hazard.from_data(line["hazard"]) for line in lines if "hazard" in line]

    def close(self) -> None:
        """Close it; a file without a path is gone then."""
        if self._now() == self._identity:
            os.close(self._descriptor)
        if self._name:
            os.unlink(self._name)

    def _now(self) -> tuple[int, int] | None:
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return None
        return status.st_dev, status.st_ino
