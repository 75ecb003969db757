"""Other processes, asked of Linux's /proc: what they have open and mapped.

Nothing here opens a file of a database: descriptors are looked at by `readlink` and `stat`.
https://www.kernel.org/doc/html/latest/filesystems/proc.html
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "DELETED", "Descriptor", "Mapping", "available", "descriptors", "inside", "mappings",
    "name_of", "parent_of", "processes",
]  # fmt: skip

_MEMORY = "/dev/shm/"
DELETED = " (deleted)"


class Descriptor(NamedTuple):
    """An open file. `target` is its name as the kernel shows it, without the mark of a deleted one."""

    number: int
    target: str
    device: int
    inode: int
    links: int
    size: int


class Mapping(NamedTuple):
    """A mapped file; `span` is its name below /proc/PID/map_files."""

    path: str
    inode: int
    span: str
    deleted: bool


def available() -> bool:
    """Whether this system has what is asked here."""
    return sys.platform == "linux" and Path("/proc/self/fd").is_dir()


def inside(pid: int, path: str) -> str:
    """A path as a process sees it, which may be in another container; pid 0: as we see it."""
    return "/".join(("/proc", str(pid), "root")) + path if pid else path


def processes() -> list[int]:
    """Process ids, lowest first."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())


def descriptors(pid: int) -> Iterator[Descriptor]:
    """The named files that a process has open. Raises PermissionError where that is not for us to see."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        raise
    except OSError:  # it has ended
        return
    for name in sorted(names, key=int):
        link = f"/proc/{pid}/fd/{name}"
        try:
            target = str(Path(link).readlink())
            device = target.startswith(("/dev/", "/proc/")) and not target.startswith(_MEMORY)
            if not target.startswith("/") or (device and DELETED not in target):
                continue
            status = os.stat(link)  # follows the link to the open file itself, named or not
        except OSError:
            continue
        yield Descriptor(
            int(name), target.removesuffix(DELETED), status.st_dev, status.st_ino, status.st_nlink, status.st_size
        )


def mappings(pid: int) -> list[Mapping]:
    """The files that a process has mapped, each piece; none where that can't be seen."""
    found = []
    with suppress(OSError), open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) == 6 and fields[5].startswith("/"):
                path = fields[5]
                found.append(Mapping(path.removesuffix(DELETED), int(fields[4]), fields[0], path.endswith(DELETED)))
    return found


def name_of(pid: int) -> str:
    """What the process calls itself."""
    with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()
    return "?"


def parent_of(pid: int) -> int:
    """Process id of its parent; 0 where that can't be told."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
    return 0
