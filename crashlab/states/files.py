"""Positioned reads and writes, where the platform has them and where it doesn't."""

import os

__all__ = ["BINARY", "TRANSFER_BYTES", "read_at", "write_at"]

BINARY = getattr(os, "O_BINARY", 0)
"""Windows opens files as text otherwise."""

TRANSFER_BYTES = 1 << 20

if hasattr(os, "pwrite"):

    def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
        """Write all bytes at an offset."""
        done = os.pwrite(descriptor, data, offset)
        while done < len(data):
            done += os.pwrite(descriptor, data[done:], offset + done)

    def read_at(descriptor: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes at an offset; fewer only at the end of the file."""
        return os.pread(descriptor, size, offset)

else:  # Windows

    def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
        """Write all bytes at an offset."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        done = 0
        while done < len(data):
            done += os.write(descriptor, data[done:])

    def read_at(descriptor: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes at an offset; fewer only at the end of the file."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)
