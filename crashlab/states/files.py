"""Positioned reads and writes, where the platform has them and where it doesn't."""

import os

__all__ = ["BINARY", "TRANSFER_BYTES", "read_at", "write_all_at", "write_at"]

BINARY = getattr(os, "O_BINARY", 0)
"""Windows opens files as text otherwise."""

TRANSFER_BYTES = 1 << 20

_PARTS_MAX = 512  # below IOV_MAX everywhere

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


def write_all_at(descriptor: int, parts: list[memoryview], offset: int) -> None:
    """Write buffers one behind the other from an offset, in as few calls as the platform allows."""
    if len(parts) == 1:
        write_at(descriptor, parts[0], offset)
        return
    if not hasattr(os, "pwritev"):
        write_at(descriptor, b"".join(parts), offset)
        return
    for start in range(0, len(parts), _PARTS_MAX):
        some = parts[start : start + _PARTS_MAX]
        size = sum(map(len, some))
        if os.pwritev(descriptor, some, offset) != size:
            write_at(descriptor, b"".join(some), offset)
        offset += size
