"""One stepped clock for all processes of a run, because heartbeats are compared across processes.

The lab's stepped clock counts the steps of its own process. Here each process publishes what it has moved the
clock by, and the time is the sum: it never goes back, and seconds cost no waiting.
"""

import mmap
import struct
from pathlib import Path
from typing import Final

from crashlab.model.workload import Context

_SLOT: Final = struct.Struct("Q")
_FILE: Final = "clock"


class SharedClock:
    """The run's time in nanoseconds since 1970; with several processes their parts lie in a mapped file.

    Each reading moves it by one nanosecond, so that no two heartbeats of a process are equal.
    """

    def __init__(self, ctx: Context, processes: int) -> None:
        self._ctx = ctx
        self._began_s = ctx.clock()
        self._base = round(self._began_s * 1e9)
        self._own = ctx.process * _SLOT.size
        self._all = struct.Struct(f"{processes}Q")
        self._parts: mmap.mmap | bytearray = (
            bytearray(self._all.size) if processes == 1 else _mapped(ctx.directory / _FILE, self._all.size)
        )
        (self._jumped,) = _SLOT.unpack_from(self._parts, self._own)  # a restart goes on from where it was

    def __call__(self) -> int:
        """The time now."""
        self._jumped += 1
        stepped = round((self._ctx.clock() - self._began_s) * 1e9)
        _SLOT.pack_into(self._parts, self._own, stepped + self._jumped)  # eight aligned bytes: one store
        parts: tuple[int, ...] = self._all.unpack_from(self._parts)
        return self._base + sum(parts)

    def jump(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self._jumped += round(seconds * 1e9)
        self()


def _mapped(path: Path, size: int) -> mmap.mmap:
    with path.open("ab") as file:
        if file.tell() < size:
            file.truncate(size)
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), size)
