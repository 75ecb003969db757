"""Files that have lost their names, copied out of the processes that still hold them.

The main file comes first, then the WAL: a checkpoint that runs meanwhile takes only pages that the WAL has, so both
together are one database, unless the WAL was begun anew in between. That is looked for, and the copy repeated.
"""

import os
import shutil
from pathlib import Path

from crashlab.diagnosis.live.look import ROLES
from crashlab.diagnosis.live.report import Held, Look, Opener, Rescued
from crashlab.errors import LabError, LimitError
from crashlab.sqlite.files import file_facts

__all__ = ["rescue"]

TRIES = 5
_HEADER = 32
_BLOCK = 1 << 20


def rescue(look: Look, into: Path, *, bytes_max: int) -> tuple[Rescued, ...]:
    """Copy, for each process with a stray file, its whole set of files into `into/pid-N`; each set of inodes once.

    Raises LimitError beyond `bytes_max` or the free space, LabError where a copy fails.
    """
    sets: dict[tuple[int, ...], Opener] = {}
    for opener in look.openers:
        files = _files(opener)
        if any(held.strayed for held in files):
            sets.setdefault(tuple(held.inode for held in files), opener)
    total = sum(held.size for opener in sets.values() for held in _files(opener))
    if not sets:
        return ()
    into.mkdir(exist_ok=True)
    if total > min(bytes_max, shutil.disk_usage(into).free):
        raise LimitError(f"the files have {total} bytes, there is room for {shutil.disk_usage(into).free}; --into")
    found: list[Rescued] = []
    for opener in sets.values():
        found += _one(opener, Path(look.path).name, into / f"pid-{opener.pid}")
    return tuple(found)


def _files(opener: Opener) -> list[Held]:
    """One file of each role, the main file first; a name that is gone before one that is there."""
    chosen = []
    for role in ROLES:
        held = sorted((each for each in opener.of(role) if each.descriptor >= 0), key=lambda each: not each.strayed)
        chosen += held[:1]
    return chosen


def _one(opener: Opener, name: str, directory: Path) -> list[Rescued]:
    files = _files(opener)
    directory.mkdir()
    wal = next((held for held in files if held.role == "wal"), None)
    whole = False
    for _ in range(TRIES):
        before = _salts(opener.pid, wal)
        for held in files:
            _copy(opener.pid, held, directory / f"{name}{ROLES[held.role]}")
        whole = before == _salts(opener.pid, wal)
        if whole:
            break
    found = []
    for held in files:
        to = directory / f"{name}{ROLES[held.role]}"
        facts = file_facts(to)
        found.append(Rescued(held.role, opener.pid, held.descriptor, str(to), facts.size, facts.sha256, whole))
    return found


def _salts(pid: int, wal: Held | None) -> bytes:
    if wal is None:
        return b""
    try:
        with open(f"/proc/{pid}/fd/{wal.descriptor}", "rb", buffering=0) as file:
            return file.read(_HEADER)
    except OSError as error:
        raise LabError(f"process {pid} let go of its WAL while it was copied: {error.strerror}") from error


def _copy(pid: int, held: Held, to: Path) -> None:
    source = f"/proc/{pid}/fd/{held.descriptor}"
    try:
        with open(source, "rb") as reader, open(to, "wb") as writer:
            if os.fstat(reader.fileno()).st_ino != held.inode:
                raise LabError(f"{source} is another file now: process {pid} closed {held.path}")
            shutil.copyfileobj(reader, writer, _BLOCK)
            writer.flush()
            os.fsync(writer.fileno())
    except OSError as error:
        raise LabError(f"can't copy {source} to {to}: {error.strerror}") from error
