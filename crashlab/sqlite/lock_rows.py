"""Record locks as the kernel has them, from Linux's /proc/locks; nothing elsewhere.

SQLite believes that it holds what it was given, but POSIX locks go with the first close of the file in the process,
whoever closed it: https://sqlite.org/howtocorrupt.html, section 2.2. https://man7.org/linux/man-pages/man5/proc_locks.5.html
"""

import os
import tempfile
from contextlib import suppress
from typing import NamedTuple

__all__ = ["LockRow", "lock_rows", "shows_own_locks"]

_TO_EOF = 1 << 63


class LockRow(NamedTuple):
    """A lock that is held. `pid` is -1 for a lock of an open file description (OFD), which no process owns.

    `kind`: READ or WRITE. `device`: `major:minor` in hexadecimal, which on some file systems is not what `stat` says.
    `first`, `last`: bytes; locks of one kind that touch are one row.
    """

    pid: int
    kind: str
    device: str
    inode: int
    first: int
    last: int


def lock_rows() -> list[LockRow]:
    """Return every record lock that is held; those that somebody waits for are left out."""
    found = []
    with suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as lines:
        for line in lines:
            # 3: POSIX  ADVISORY  READ 4711 08:01:123 128 128; a waiting one has "->" behind its number.
            fields = line.split()
            if len(fields) == 8 and fields[1] in ("POSIX", "OFDLCK"):
                with suppress(ValueError):
                    device, _, inode = fields[5].rpartition(":")
                    last = _TO_EOF if fields[7] == "EOF" else int(fields[7])
                    found.append(LockRow(int(fields[4]), fields[3], device, int(inode), int(fields[6]), last))
    return found


def shows_own_locks() -> bool:
    """Return whether a lock of this process has a row: elsewhere than on Linux, and in some sandboxes, none has."""
    try:
        import fcntl
    except ImportError:
        return False
    with tempfile.TemporaryFile() as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        inode = os.fstat(file.fileno()).st_ino
        return any(row.inode == inode and row.pid == os.getpid() for row in lock_rows())
