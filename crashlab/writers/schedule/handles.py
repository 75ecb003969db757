"""What SQLite has open in this process, by its handles: which file each name meant when SQLite opened it.

Told at the tap, inside callbacks, so nothing here raises, and no file of a database is opened.
"""

import os
from contextlib import suppress
from ctypes import string_at
from typing import NamedTuple

__all__ = ["Handles", "Named"]

# https://sqlite.org/c3ref/c_open_autoproxy.html
_MAIN_DB, _WAL = 0x100, 0x80000


class Named(NamedTuple):
    """A file by the name under which it was opened, and what that name meant then."""

    path: str
    device: int
    inode: int


class Handles:
    """Main files, WALs and wal-indexes that are open. `files`: by handle and suffix."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, str], Named] = {}

    def opened(self, handle: int, name: int | None, flags: int) -> None:
        """SQLite has opened a file; `name`: the address of its path."""
        if name and flags & (_MAIN_DB | _WAL):
            self._note(handle, "" if flags & _MAIN_DB else "-wal", os.fsdecode(string_at(name)))

    def mapped(self, handle: int) -> None:
        """SQLite has mapped the wal-index of an open main file."""
        main = self.files.get((handle, ""))
        if main is not None and (handle, "-shm") not in self.files:
            self._note(handle, "-shm", f"{main.path}-shm")

    def unmapping(self, handle: int) -> None:
        """SQLite lets go of the wal-index."""
        self.files.pop((handle, "-shm"), None)

    def closing(self, handle: int) -> None:
        """SQLite closes the file."""
        for suffix in ("", "-wal", "-shm"):
            self.files.pop((handle, suffix), None)

    def _note(self, handle: int, suffix: str, path: str) -> None:
        with suppress(OSError):  # no such file: a wal-index in memory, or a name of another VFS
            status = os.stat(path)
            self.files[handle, suffix] = Named(path, status.st_dev, status.st_ino)
