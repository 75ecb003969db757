"""Damage to files that nobody has open: what the exhibits of bad bytes share."""

from pathlib import Path

from crashlab.errors import LabError

__all__ = ["cut", "find", "flip"]


def flip(path: Path, offset: int, bit: int) -> None:
    """Flip one bit of a file. Raises LabError beyond its end."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        if not byte:
            raise LabError(f"{path.name} has no byte {offset}")
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1 << bit]))


def cut(path: Path, lost: int) -> None:
    """Take the last `lost` bytes off a file."""
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - lost)


def find(path: Path, wanted: bytes) -> int:
    """Return where some bytes stand in a file. Raises LabError unless they stand there once."""
    data = path.read_bytes()
    count = data.count(wanted)
    if count != 1:
        raise LabError(f"{wanted[:20]!r} stands {count} times in {path.name}, expected once")
    return data.find(wanted)
