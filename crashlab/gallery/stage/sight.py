"""What is on disk and in the lock table between two steps, seen from a process that has no database open.

The director never opens a database, so it may read the files' bytes: no lock of an actor is its own.
Lock rows: https://www.kernel.org/doc/html/latest/filesystems/proc.html ; which bytes mean what:
https://sqlite.org/src/file/src/os_unix.c (SHARED range of the main file, "dead man's switch" at byte 128 of -shm).
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crashlab.gallery.stage.actor import Actor
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.lock_rows import lock_rows
from crashlab.sqlite.shm import WalIndex, parse_shm
from crashlab.sqlite.wal import Wal, parse_wal

__all__ = ["FileSeen", "Holder", "Sight", "look"]


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One file by ``stat``; `locks`: actor -> how many lock rows it has on this inode."""

    name: str
    inode: int
    links: int
    size: int
    locks: dict[str, int]

    @property
    def line(self) -> str:
        """The file in one line of a story."""
        links = "" if self.links == 1 else f", {self.links} links"
        line = f"{self.name}: {self.size:,} bytes, inode {self.inode}{links}"
        if self.name.endswith(("-wal", "-journal")):  # SQLite keeps no locks on these
            return line
        return f"{line}, {'locked by ' + ' and '.join(self.locks) if self.locks else 'nobody has a lock'}"


@dataclass(frozen=True, slots=True)
class Holder:
    """What one actor has open of the database: the file's name, its inode, its links (0: unlinked), its size."""

    actor: str
    descriptor: int
    name: str
    inode: int
    links: int
    size: int


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that was seen at one moment. `ghosts`: WALs that actors hold although their name is gone."""

    files: tuple[FileSeen, ...]
    holders: tuple[Holder, ...]
    wal: Wal | None
    index: WalIndex | None
    locks: Counter[tuple[int, int]]
    ghosts: tuple[Wal, ...] = ()

    @property
    def unlinked(self) -> tuple[Holder, ...]:
        """Files that actors hold although their names are gone."""
        return tuple(holder for holder in self.holders if not holder.links)

    @property
    def strayed(self) -> tuple[Holder, ...]:
        """Files that actors hold while another file, or none, has their name."""
        by_name = {file.name: file.inode for file in self.files}
        return tuple(holder for holder in self.holders if by_name.get(holder.name) != holder.inode)

    def lines(self) -> list[str]:
        """The moment in lines of text, one a fact."""
        lines = [file.line for file in self.files]
        if self.wal is not None and self.wal.header is not None and not self.wal.problem:
            salts = "-".join(f"{salt:08x}" for salt in self.wal.header.salts)
            lines.append(f"WAL: salts {salts}, {self.wal.committed} frames in {len(self.wal.commits)} commits")
        elif self.wal is not None:
            lines.append(f"WAL: {self.wal.problem or 'empty'}")
        if self.index is not None and self.index.header is not None:
            mark = "  (impossible)" if self.index.impossible else ""
            lines.append(f"wal-index: mxFrame {self.index.header.max_frame}, nBackfill {self.index.backfilled}{mark}")
        elif self.index is not None:
            lines.append(f"wal-index: {self.index.problem}")
        lines += [
            f"{holder.actor} holds {holder.name} (deleted), inode {holder.inode}, {holder.size:,} bytes"
            for holder in self.unlinked
        ]
        lines += [
            f"ghost WAL: {ghost.committed} frames in {len(ghost.commits)} commits, in a file without a name"
            for ghost in self.ghosts
            if ghost.committed
        ]
        return lines


def look(main: Path, actors: Iterable[Actor]) -> Sight:
    """Look at a database's files, and at what the living actors hold of them."""
    living = [actor for actor in actors if actor.alive]
    rows = Counter((row.pid, row.inode) for row in lock_rows())
    triplet = Triplet.of(main)
    files = []
    for path in triplet.paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        locks = {actor.name: rows[key] for actor in living if (key := (actor.pid, status.st_ino)) in rows}
        files.append(FileSeen(path.name, status.st_ino, status.st_nlink, status.st_size, locks))
    holders = tuple(holder for actor in living for holder in _held(actor, main))
    wal = _read(triplet.wal)
    index = _read(triplet.shm)
    pids = {actor.name: actor.pid for actor in living}
    unlinked = {each.inode: each for each in holders if not each.links and each.name == triplet.wal.name}
    ghosts = [_read(Path(f"/proc/{pids[each.actor]}/fd/{each.descriptor}")) for each in unlinked.values()]
    return Sight(
        tuple(files),
        holders,
        None if wal is None else parse_wal(wal),
        None if index is None else parse_shm(index),
        rows,
        tuple(parse_wal(ghost) for ghost in ghosts if ghost is not None),
    )


def _held(actor: Actor, main: Path) -> Iterable[Holder]:
    directory = f"/proc/{actor.pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in sorted(names, key=int):
        link = f"{directory}/{name}"
        try:
            target = str(Path(link).readlink())
            status = os.stat(link)
        except OSError:
            continue
        target = target.removesuffix(" (deleted)")
        if target.startswith(str(main)):
            yield Holder(
                actor.name, int(name), os.path.basename(target), status.st_ino, status.st_nlink, status.st_size
            )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
