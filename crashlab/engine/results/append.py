"""Appending records: whole lines, at once, by one writer; a file that a kill of the lab has torn is taken up again."""

import errno
import io
import os
from pathlib import Path
from typing import Any

from crashlab.engine.results.read import RECORDS, records_file
from crashlab.errors import RecordError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_LOCK_AT = 1 << 62
"""Windows locks bytes, and nobody may read locked ones: one that no file has."""


class RecordsFile(io.FileIO):
    """A run's record file, open for one writer: another one is refused for as long as this process lives.

    Each event goes to the file at once and whole: a run that is itself killed leaves at most a torn last line,
    and what it had written before is not in any buffer.

    Raises:
        UsageError: another process writes to the file.
    """

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        try:
            _lock(self.fileno())
        except OSError:
            self.close()
            raise UsageError(
                f"{path}: another crashlab is writing these records now; wait for it, or start a run of its own"
            ) from None

    def write(self, data: Any, /) -> int:
        """Write all of it, or cut a torn line off again and raise."""
        before = self.tell()
        written = super().write(data)
        if written != len(data):
            self.truncate(before)
            self.seek(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    def cut(self, whole: int) -> None:
        """Cut off what follows the first `whole` bytes, and append from there on."""
        self.truncate(whole)
        self.seek(whole)


def open_records(directory: Path) -> RecordsFile:
    """Open a run's record file, `records.ndjson`, new."""
    return RecordsFile(directory / RECORDS, "xb")


def reopen_records(path: str | os.PathLike[str]) -> RecordsFile:
    """Open the records of a run that is to go on; `cut` says from where.

    Raises:
        RecordError: there are none, or they cannot be written.
        UsageError: another process writes to them.
    """
    file = records_file(path)
    try:
        return RecordsFile(file, "r+b")
    except OSError as error:
        raise RecordError(f"{file}: the records cannot be written ({error.strerror})") from None


def _lock(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    at = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, _LOCK_AT, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    finally:
        os.lseek(descriptor, at, os.SEEK_SET)
