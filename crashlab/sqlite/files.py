"""The files of one database: main, -wal, -shm, -journal; their raw copies, hashes and sizes.

Everything here but :meth:`Triplet.sizes` opens and closes the files. On POSIX systems closing any
descriptor of a file cancels all locks this process holds on it
(https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_), so
never call it in a process that has the database open, by SQLite or otherwise: use it after the writer was
reaped, or in another process. And a raw copy of files that somebody is writing is no consistent copy.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crashlab.errors import LabError, LimitError, UsageError

__all__ = ["FileFacts", "Triplet"]

_BLOCK = 128 << 10


class FileFacts(NamedTuple):
    """One file as found: size in bytes, modification time in nanoseconds, inode, hash of the contents."""

    name: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Triplet:
    """The paths that belong to one database, whether or not a file is there.

    SQLite itself names them so (https://sqlite.org/tempfiles.html). ``wal`` and ``journal`` hold data;
    ``shm`` is an index that any opener rebuilds.
    """

    main: Path
    wal: Path
    shm: Path
    journal: Path

    @classmethod
    def of(cls, main: str | os.PathLike[str]) -> "Triplet":
        """The triplet of a main file's path."""
        path = os.fspath(main)
        return cls(Path(path), Path(path + "-wal"), Path(path + "-shm"), Path(path + "-journal"))

    @property
    def paths(self) -> tuple[Path, Path, Path, Path]:
        """All four: main, -wal, -shm, -journal."""
        return self.main, self.wal, self.shm, self.journal

    def existing(self) -> tuple[Path, ...]:
        """Those that are there now."""
        return tuple(path for path in self.paths if os.path.lexists(path))

    def sizes(self) -> dict[str, int]:
        """File name -> bytes for those that are there, by ``stat`` alone: safe on a live database."""
        found = {}
        for path in self.paths:
            try:
                found[path.name] = os.stat(path).st_size
            except FileNotFoundError:
                continue
        return found

    def copy_into(
        self, directory: str | os.PathLike[str], *, max_bytes: int | None = None, shm: bool = True
    ) -> "Triplet":
        """Copy the raw bytes of those files that are there into ``directory``, under the same names.

        The directory must exist. ``shm=False`` leaves the index out, for a copy that is to be recovered.
        Raises UsageError rather than overwrite anything, LimitError before copying more than ``max_bytes``
        in all, LabError when reading or writing fails (what was copied so far is removed).
        """
        target = Triplet.of(Path(directory) / self.main.name)
        for path in target.paths:
            if os.path.lexists(path):
                raise UsageError(f"{path} exists and is never overwritten; copy into an empty directory")
        total = sum(self.sizes().values())
        if max_bytes is not None and total > max_bytes:
            raise LimitError(f"{self.main} and its side files have {total} bytes, the limit is {max_bytes}")
        made: list[Path] = []
        try:
            for source, copy in zip(self.paths, target.paths, strict=True):
                if not source.exists() or (source == self.shm and not shm):
                    continue
                with open(source, "rb") as reader, open(copy, "xb") as writer:
                    made.append(copy)
                    shutil.copyfileobj(reader, writer, _BLOCK)
        except OSError as error:
            for path in made:
                path.unlink(missing_ok=True)
            raise LabError(f"can't copy {self.main} into {directory}: {error}") from error
        return target

    def facts(self, *, shm: bool = True) -> dict[str, FileFacts]:
        """File name -> size, time, inode and hash of those that are there. Reads every byte.

        ``shm=False`` leaves the index out, which on Windows can't be read while it is in use. Raises
        LabError when a file can't be read.
        """
        found = {}
        for path in self.paths:
            if path == self.shm and not shm:
                continue
            try:
                found[path.name] = file_facts(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LabError(f"can't read {path}: {error}") from error
        return found


def file_facts(path: str | os.PathLike[str]) -> FileFacts:
    """Read one file in blocks and return its facts; raises OSError as ``open`` does."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        status = os.fstat(file.fileno())
    return FileFacts(os.path.basename(path), status.st_size, status.st_mtime_ns, status.st_ino, digest)
