"""Whether the database's files are still the ones that were opened.

SQLite opens `main`, `-wal` and `-shm` by name and keeps its descriptors. Somebody who deletes, renames or
replaces one of them (a restore, "delete the -wal to unlock", another process that took itself for the
last because our POSIX locks were cancelled) leaves us committing to files that nobody else sees, and our
next checkpoint overwrites what others committed since
(https://sqlite.org/howtocorrupt.html, sections 2.2, 2.4 and 2.5). Nothing SQLite returns tells of it.

Only the names are asked (`lstat`); nothing is opened, since closing a descriptor on a database cancels
this process's locks. As long as SQLite holds its descriptors no new file can get the inode number of
an opened one.
"""

import logging
import os
import stat
import time
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

_log = logging.getLogger(__name__)

SIDECARS: Final = ("-wal", "-shm")


class FileId(NamedTuple):
    """What makes a name mean the same file: device and inode number."""

    device: int
    inode: int

    def __str__(self) -> str:
        return f"device {self.device} inode {self.inode}"


class OpenFiles:
    """The files of one open database, as they were found under their names when it was opened.

    `wal` says whether the connection is in WAL mode; without it the sidecars come and go rightly and
    only the main file counts. A sidecar that does not exist yet is recorded when it is first seen.
    """

    WRITES_MAX: ClassVar[int] = 64  # writes from one look to the next, at most
    AGE_MAX_NS: ClassVar[int] = 10_000_000  # a write this long after the last look brings on another

    def __init__(self, path: Path, *, wal: bool) -> None:
        self.main = path
        self._names = tuple(str(path) + suffix for suffix in ("", *(SIDECARS if wal else ())))
        self._recorded: dict[str, FileId] = {}
        self._warned: set[str] = set()
        self._writes = 0
        self._looked_ns = 0
        self.change()

    def identity(self, suffix: str = "") -> FileId | None:
        """The recorded identity of the main file, or of a sidecar; None when it has not been seen."""
        return self._recorded.get(str(self.main) + suffix)

    def in_place(self) -> bool:
        """Whether the main file is still found under its name."""
        return self._change_of(str(self.main)) is None

    def due(self) -> bool:
        """Count one write; true when it is the time to look at the names again.

        A look costs several microseconds, a third of a small commit, hence not before each.
        """
        self._writes += 1
        return self._writes >= self.WRITES_MAX or time.monotonic_ns() - self._looked_ns >= self.AGE_MAX_NS

    def change(self) -> str | None:
        """Look at the names: what has become of the first that means another file now, or None."""
        self._writes = 0
        self._looked_ns = time.monotonic_ns()
        for name in self._names:
            complaint = self._change_of(name)
            if complaint is not None:
                return complaint
        return None

    def _change_of(self, name: str) -> str | None:
        recorded = self._recorded.get(name)
        try:
            # Not `stat`: a link at the old name to the moved file has the same inode, but whoever
            # opens it puts its sidecars beside the target.
            found = os.lstat(name)
        except (FileNotFoundError, NotADirectoryError):
            return None if recorded is None else f"{name} is gone (it was {recorded} when it was opened)"
        except OSError as error:
            self._warn(name, f"cannot be examined: {error.strerror}; whether it is still the same file is not known")
            return None
        if recorded == (found.st_dev, found.st_ino) and found.st_nlink == 1:
            return None
        identity = FileId(found.st_dev, found.st_ino)
        if identity == (0, 0):
            self._warn(name, "has no inode number on this file system: whether somebody replaces it is not watched")
            return None
        if recorded is None:
            self._recorded[name] = recorded = identity
        if identity != recorded:
            kind = "a symbolic link, " if stat.S_ISLNK(found.st_mode) else ""
            return f"{name} is another file now: {kind}{identity}; the one that was opened is {recorded}"
        if found.st_nlink > 1:
            self._warn(
                name,
                f"has {found.st_nlink} hard links: a program that opens it by another name makes a -wal of its own "
                "and damages the database; a backup must be a copy made by SQLite",
            )
        return None

    def _warn(self, name: str, what: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            _log.warning("%s %s", name, what)
