"""One look at a live database, from a process that has no connection to it.

The bytes of `-wal` and `-shm` are read here, and closing a descriptor cancels the locks that *this* process has on the
file: it has none. Which bytes carry which lock: https://sqlite.org/src/file/src/os_unix.c (the SHARED range of the main
file from 1073741826 on, the "dead man's switch" at byte 128 of the -shm).
"""

import os
from collections.abc import Iterable
from contextlib import suppress

from crashlab.diagnosis.live import procfs
from crashlab.diagnosis.live.libraries import libraries_of
from crashlab.diagnosis.live.procfs import Descriptor, Mapping
from crashlab.diagnosis.live.report import Held, Look, Opener
from crashlab.sqlite.buffers import FileBuffer
from crashlab.sqlite.filesystem import filesystem_of
from crashlab.sqlite.lock_rows import LockRow, lock_rows, shows_own_locks
from crashlab.sqlite.shm import parse_shm
from crashlab.sqlite.wal import parse_wal_buffer

__all__ = ["databases_of", "look"]

ROLES = {"main": "", "wal": "-wal", "shm": "-shm", "journal": "-journal"}
LOCKED = range(1 << 30, (1 << 30) + 512)
"""The bytes of the main file that carry SQLite's locks."""
GHOST_BYTES_MAX = 4 << 30
_HEADER = b"SQLite format 3\0"


def databases_of(pid: int) -> list[str]:
    """Paths of the databases that a process has open, as it names them. Raises PermissionError."""
    found: dict[str, None] = {}
    for each in procfs.descriptors(pid):
        for suffix in ("-wal", "-shm", "-journal"):
            if each.target.endswith(suffix):
                found[each.target.removesuffix(suffix)] = None
                break
        else:
            if each.size and _starts(f"/proc/{pid}/fd/{each.number}") == _HEADER:
                found[each.target] = None
    return list(found)


def _starts(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, len(_HEADER), 0)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def look(path: str, known: dict[tuple[int, int], str], *, via: int = 0) -> Look:
    """Look at everybody who has the files of `path` open. `via`: the process in whose root directory the path is."""
    place = procfs.inside(via, path)
    paths = {role: there for role, suffix in ROLES.items() if (there := _seen(f"{place}{suffix}"))}
    before = lock_rows()
    openers, unreadable, closed = [], 0, []
    inodes = {inode for inode, _, _ in paths.values()}
    for pid in procfs.processes():
        if pid == os.getpid():
            continue
        try:
            opener = _opener(pid, path, inodes, before, known)
        except PermissionError:
            unreadable += 1
            closed.append(pid)
            continue
        if opener:
            openers.append(opener)
    after = lock_rows()
    openers = [_with_locks(each, (*before, *after)) for each in openers]
    mine = {held.inode for each in openers for held in each.held} | inodes
    known_pids = {each.pid for each in openers}
    rows = [row for row in after if row.inode in mine]
    hidden = {
        row.pid for row in rows if row.pid not in known_pids and row.pid >= 0 and (row.pid in closed or not row.pid)
    }
    filesystem = filesystem_of(place)
    return Look(
        path=path,
        paths=paths,
        openers=tuple(openers),
        hidden=tuple(sorted(hidden)),
        unreadable=unreadable,
        lock_rows=shows_own_locks(),
        ofd=tuple(sorted({row.inode for row in rows if row.pid < 0})),
        filesystem=f"{filesystem.kind} at {filesystem.mount_point}",
        filesystem_warning=filesystem.warning if not filesystem.is_memory else "",
        index=_index(f"{place}-shm"),
        ghosts=_ghosts(openers),
    )


def _seen(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_nlink, status.st_size


def _opener(
    pid: int, path: str, inodes: set[int], rows: Iterable[LockRow], known: dict[tuple[int, int], str]
) -> Opener | None:
    """What a process holds of the database; None where it holds nothing."""
    names = {f"{path}{suffix}": role for role, suffix in ROLES.items()}
    open_files = list(procfs.descriptors(pid))
    chosen = [each for each in open_files if each.target in names or each.inode in inodes]
    if not chosen:
        return None
    mapped = procfs.mappings(pid)
    held = [_held(pid, each, names, mapped) for each in chosen]
    if any(each.role == "wal" for each in held) and not any(each.role == "main" for each in held):
        held += _moved(pid, open_files, names, rows, mapped)
    only = {each.path: each for each in mapped if names.get(each.path) == "shm"}
    inode_of = {each.inode for each in held}
    for each in only.values():
        if each.inode not in inode_of:  # its descriptor is closed, the mapping stays
            at = _seen(procfs.inside(pid, each.path))
            links = 0 if each.deleted else 1
            held.append(Held("shm", -1, each.path, 0, each.inode, links, 0, at[0] if at else 0, mapped=True))
    libraries = libraries_of(pid, mapped, known)
    return Opener(pid, procfs.name_of(pid), procfs.parent_of(pid), tuple(held), libraries)


def _held(pid: int, each: Descriptor, names: dict[str, str], mapped: list[Mapping]) -> Held:
    at = _seen(procfs.inside(pid, each.target))
    ending = next((role for role, suffix in ROLES.items() if suffix and each.target.endswith(suffix)), "main")
    role = names.get(each.target, ending)
    return Held(
        role=role,
        descriptor=each.number,
        path=each.target,
        device=each.device,
        inode=each.inode,
        links=each.links,
        size=each.size,
        at_path=at[0] if at else 0,
        mapped=any(one.inode == each.inode and one.path == each.target for one in mapped),
    )


def _moved(
    pid: int, open_files: list[Descriptor], names: dict[str, str], rows: Iterable[LockRow], mapped: list[Mapping]
) -> list[Held]:
    """The main file under another name: what the process has locked as SQLite locks one, after a rename."""
    locked = {row.inode for row in rows if row.pid == pid and row.first in LOCKED}
    base = next(name for name, role in names.items() if role == "main")
    return [
        Held("main", each.number, each.target, each.device, each.inode, each.links, each.size, _at(pid, base))
        for each in open_files
        if each.inode in locked
    ]


def _at(pid: int, path: str) -> int:
    seen = _seen(procfs.inside(pid, path))
    return seen[0] if seen else 0


def _with_locks(opener: Opener, rows: Iterable[LockRow]) -> Opener:
    """The opener with its lock rows, of both times that they were read: one that is seen once is held."""
    own = {row for row in rows if row.pid == opener.pid}
    held = tuple(
        Held(**{
            **{name: getattr(each, name) for name in each.__struct_fields__},
            "locks": tuple(sorted((row.kind, row.first, row.last) for row in own if row.inode == each.inode)),
        })
        for each in opener.held
    )  # fmt: skip
    return Opener(opener.pid, opener.name, opener.parent, held, opener.libraries)


def _index(path: str) -> tuple[int, int, int] | None:
    """mxFrame, nBackfill and the size of the `-shm`; None where no index that is whole can be read."""
    try:
        with FileBuffer(path) as data:
            index = parse_shm(data.read(0, 136))
            return (index.header.max_frame, index.backfilled, data.size) if index.header else (0, 0, data.size)
    except Exception:  # it may go at any moment; then there is nothing to say
        return None


def _ghosts(openers: Iterable[Opener]) -> dict[str, tuple[int, int]]:
    """`PID:DESCRIPTOR` -> (commits, committed frames) of every WAL that has lost its name."""
    found: dict[str, tuple[int, int]] = {}
    for opener in openers:
        for held in opener.of("wal"):
            if held.strayed and held.size <= GHOST_BYTES_MAX:
                with suppress(Exception), FileBuffer(f"/proc/{opener.pid}/fd/{held.descriptor}") as data:
                    wal = parse_wal_buffer(data)
                    found[f"{opener.pid}:{held.descriptor}"] = (len(wal.commits), wal.committed)
    return found
