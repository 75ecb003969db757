"""Where bytes of evidence are read from: memory, or a file a window at a time.

Parsers take either, so that a file of gigabytes is never held whole. A file is read with ``pread`` and not
mapped: a mapped page counts as memory of the process, and a file cut short under a mapping kills it.

On POSIX systems closing any descriptor of a file cancels the locks this process holds on it: open copies, or
read in a process that does not have the database open (see :mod:`crashlab.sqlite.files`).
"""

import os
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from crashlab.errors import LabError

__all__ = ["Buffer", "FileBuffer", "MemoryBuffer"]


class Buffer(Protocol):
    """Bytes that can be read at any offset."""

    @property
    def size(self) -> int:
        """Length in bytes; it doesn't change."""
        ...

    def read(self, at: int, length: int) -> bytes:
        """The bytes from ``at``: fewer than ``length`` at the end, none beyond it or for a negative argument."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryBuffer:
    """Bytes in memory."""

    data: bytes | memoryview

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def read(self, at: int, length: int) -> bytes:
        """The bytes from ``at``, as :class:`Buffer` says."""
        return bytes(self.data[at : at + length]) if at >= 0 and length > 0 else b""


@dataclass(slots=True)
class FileBuffer:
    """A file, open for reading until :meth:`close`; a context manager.

    The size is that at the time of opening. Raises LabError where the file can't be opened or read.
    """

    path: str
    size: int = field(init=False)
    _descriptor: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise LabError(f"can't read {self.path}: {error}") from error
        self.size = os.fstat(self._descriptor).st_size

    def read(self, at: int, length: int) -> bytes:
        """The bytes from ``at``, as :class:`Buffer` says."""
        length = min(length, self.size - at)
        if at < 0 or length <= 0:
            return b""
        try:
            if hasattr(os, "pread"):
                return os.pread(self._descriptor, length, at)
            os.lseek(self._descriptor, at, os.SEEK_SET)
            return os.read(self._descriptor, length)
        except OSError as error:
            raise LabError(f"can't read {length} bytes at {at} of {self.path}: {error}") from error

    def close(self) -> None:
        """Close the file; once is enough, twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> "FileBuffer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
