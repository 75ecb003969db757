"""What a run's files occupy."""

import contextlib
import os

__all__ = ["size_of"]


def size_of(directory: str) -> int:
    """Return the bytes that the files below a directory occupy; the unwritten rest of a log takes none."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
    return total
