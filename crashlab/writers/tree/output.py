"""What a program prints, as it comes out of its pipes: the end of it, and the lines that are acks."""

import re
from typing import NamedTuple

TAIL_BYTES = 4000
LINE_BYTES_MAX = 1 << 16


class _Ack(NamedTuple):
    key: str
    us: int


class Tail:
    """Keeps the last bytes; `bytes` counts all."""

    def __init__(self) -> None:
        self.bytes = 0
        self._kept = b""

    def take(self, data: bytes, us: int) -> None:
        """Take what was read at a moment, in microseconds from the start."""
        self.bytes += len(data)
        self._kept = (self._kept + data)[-TAIL_BYTES:]

    @property
    def text(self) -> str:
        """The last of it; what is no UTF-8 is replaced."""
        return self._kept.decode("utf-8", "replace")


class Lines(Tail):
    """Also looks for acks, in whole lines; a line longer than LINE_BYTES_MAX is judged by its end."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self.acked: list[_Ack] = []
        self._pattern = re.compile(pattern) if pattern else None
        self._rest = b""

    def take(self, data: bytes, us: int) -> None:
        """Take what was read."""
        super().take(data, us)
        if self._pattern is None:
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LINE_BYTES_MAX:]
        for line in lines:
            found = self._pattern.search(line.decode("utf-8", "replace"))
            if found is not None:
                self.acked.append(_Ack((found[1] or "") if self._pattern.groups else "", us))
