"""What this process has open and mapped, asked of Linux's /proc; empty answers elsewhere.

Nothing here opens a database's files: descriptors are looked at by `readlink` and `stat`, mapped memory is read
through /proc/self/mem, where an unmapped address is an error and no signal.
"""

import os
import re
import sys
from typing import NamedTuple

from crashlab.sqlite.lock_rows import lock_rows

AVAILABLE = sys.platform.startswith("linux") and os.path.isdir("/proc/self/fd")
_FD = "/proc/self/fd"
_LIBRARY = re.compile(r"^(?:lib)?sqlite3|^_sqlite3|apsw|pysqlite|\bsqlite", re.IGNORECASE)
_HEAD_BYTES = 136
_ROW_BYTES_MAX = 16

Identity = tuple[int, int]


class Mapping(NamedTuple):
    """One mapped piece of a file. `file`: its device and inode."""

    start: int
    offset: int
    path: str
    file: str


def identity_of(path: str | int) -> Identity | None:
    """Return device and inode of a path (or of an open descriptor), or None when there is nothing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def size_of(path: str) -> int:
    """Return a file's bytes, -1 when there is none."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1


def descriptors_on(identity: Identity) -> list[int]:
    """Return this process's descriptors on a file, by its identity."""
    # A stat of the link follows it to the open file itself, also when that has no name any more.
    return [int(name) for name in _numbers() if identity_of(f"{_FD}/{name}") == identity]


def descriptor_for(path: str) -> bool:
    """Whether this process has a file of exactly this resolved name open, or a removed one that had it."""
    for name in _numbers():
        try:
            link = os.readlink(f"{_FD}/{name}")
        except OSError:
            continue
        if link.removesuffix(" (deleted)") == path:
            return True
    return False


def path_of(descriptor: int) -> str | None:
    """Return the path that a descriptor has now."""
    if not AVAILABLE:
        return None
    try:
        return os.readlink(f"{_FD}/{descriptor}")
    except OSError:
        return None


def marks(identities: set[Identity]) -> dict[Identity, tuple[int, int]]:
    """Return modification time and size of those of these files that this process has open, named or not."""
    found = {}
    for name in _numbers():
        try:
            status = os.stat(f"{_FD}/{name}")
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in identities:
            found[status.st_dev, status.st_ino] = (status.st_mtime_ns, status.st_size)
    return found


def mappings(suffix: str = "") -> list[Mapping]:
    """Return the mapped files whose names end so."""
    if not AVAILABLE:
        return []
    found = []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6:
                    path = fields[5].removesuffix(" (deleted)")
                    if path.endswith(suffix):
                        start, offset = int(fields[0].partition("-")[0], 16), int(fields[2], 16)
                        found.append(Mapping(start, offset, path, f"{fields[3]} {fields[4]}"))
    except OSError:
        return []
    return found


def libraries() -> list[str]:
    """Return the loaded shared objects whose names say that they hold a SQLite, without the interpreter's binding.

    Python's own `_sqlite3` counts only when no libsqlite3 is loaded beside it, into which it is linked.
    """
    names = {each.path for each in mappings() if ".so" in each.path and _LIBRARY.search(os.path.basename(each.path))}
    names |= {each.path for each in mappings(".so") if f"{os.sep}apsw{os.sep}" in each.path}
    binding = {name for name in names if "lib-dynload" in name and os.path.basename(name).startswith("_sqlite3")}
    if any(os.path.basename(name).startswith("libsqlite3") for name in names):
        names -= binding
    return sorted(names)


def index_head(path: str) -> bytes:
    """Return the first bytes of a mapped `-shm`, without opening it; empty when it is not mapped."""
    for each in mappings(path):
        if each.offset == 0 and each.path == path:
            try:
                memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return b""
            try:
                return os.pread(memory, _HEAD_BYTES, each.start)
            except OSError:
                return b""
            finally:
                os.close(memory)
    return b""


def read_locks(identity: Identity) -> dict[int, int]:
    """Return byte → process id of the shared POSIX locks on a file, from /proc/locks."""
    if not AVAILABLE:
        return {}
    device = f"{os.major(identity[0]):02x}:{os.minor(identity[0]):02x}"
    return {
        byte: row.pid
        for row in lock_rows()
        if (row.kind, row.device, row.inode) == ("READ", device, identity[1]) and row.pid >= 0
        for byte in range(row.first, min(row.last, row.first + _ROW_BYTES_MAX) + 1)
    }


def _numbers() -> list[str]:
    if not AVAILABLE:
        return []
    try:
        return os.listdir(_FD)
    except OSError:
        return []
