"""The proof that a recording is whole: replay all of it and compare with the disk.

An operation that its process never finished may be absent, whole, or (a write) a prefix; a write that failed
may have left any part of its bytes. Everything else must be equal to the byte: every file that the recording
knows, and which of the names are there. The `-shm` is left out, being volatile.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from crashlab.errors import LabError
from crashlab.log.trace import Role, TraceKind
from crashlab.states.files import BINARY, TRANSFER_BYTES, write_at
from crashlab.states.pending import DATA_KINDS, ENTRY_KINDS, apply_entry
from crashlab.states.trace import Trace

__all__ = ["Difference", "compare_with_disk", "replay_into", "require_same"]

INODES = ".inodes"
UNFINISHED_MAX = 4
"""Unfinished creates, deletes and renames of which all combinations are tried: one a thread."""

_SIDECARS = ("-wal", "-journal")


class Difference(msgspec.Struct, frozen=True):
    """One file that the replay has otherwise than the disk, and how."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


def replay_into(trace: Trace, directory: Path) -> dict[str, int]:
    """Do every finished operation of a trace in an empty directory; return its names with their inodes."""
    names = dict(trace.initial_names)
    stores = _Stores(trace, directory / INODES)
    unfinished = set(trace.unfinished)
    try:
        for op in range(len(trace)):
            if op in unfinished:
                continue
            kind = trace.kinds[op]
            if kind in ENTRY_KINDS:
                apply_entry(trace, op, names)
            elif kind in DATA_KINDS:
                stores.apply(op)
        for name, inode in names.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stores.path(inode), target)
    finally:
        stores.close()
    return names


def compare_with_disk(
    trace: Trace, disk: Path, scratch: Path, *, labs_own: Callable[[str], bool] | None = None
) -> tuple[Difference, ...]:
    """Replay a trace in `scratch` (empty) and return how `disk` differs from it; nothing means whole.

    `disk`: the run's directory after its processes ended. Reads raw bytes: no database in it may be open in
    this process. `labs_own`, where the program's own files were recorded too: says of a file there, by its name
    relative to it, that it is not the program's; every other file that the recording doesn't know is a difference.
    """
    names = replay_into(trace, scratch)
    under_way = [op for op in trace.unfinished if trace.kinds[op] in ENTRY_KINDS][:UNFINISHED_MAX]
    best: list[Difference] | None = None
    for chosen in range(1 << len(under_way)):
        variant = dict(names)
        for place, op in enumerate(under_way):
            if chosen >> place & 1:
                apply_entry(trace, op, variant)
        found = _differences(trace, disk, scratch, variant, labs_own)
        if best is None or len(found) < len(best):
            best = found
    return tuple(best or ())


def _differences(
    trace: Trace, disk: Path, scratch: Path, names: dict[str, int], labs_own: Callable[[str], bool] | None
) -> list[Difference]:
    """Compare the disk with the replayed inodes under these names."""
    databases = {file.path for file in trace.files if file.role is Role.MAIN}
    known = {file.path for file in trace.files} | set(trace.paths)
    known |= {database + sidecar for database in databases for sidecar in _SIDECARS}
    if labs_own is not None:
        known |= {name for name in _names_on_disk(disk, scratch) if not labs_own(name)} - trace.left_out
    found: list[Difference] = []
    for name in sorted(known):
        there = (disk / name).is_file()
        if name in names and not there:
            found.append(Difference(name, "not on the disk; the recording left it there"))
        elif name in names:
            problem = _contents(trace, disk / name, scratch / INODES / str(names[name]), names[name])
            if problem:
                found.append(Difference(name, problem))
        elif there:
            found.append(Difference(name, "on the disk; the recording doesn't have it"))
    return found


def require_same(trace: Trace, disk: Path, scratch: Path, *, labs_own: Callable[[str], bool] | None = None) -> None:
    """Raise LabError, naming the files, when the replay differs from the disk; see `compare_with_disk`."""
    differences = compare_with_disk(trace, disk, scratch, labs_own=labs_own)
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise LabError(
            "the recording is not whole, so it proves nothing: "
            + "; ".join(map(str, differences[:5]))
            + more
            + ". Something wrote past the tap and past Python's file functions"
        )


def _names_on_disk(disk: Path, scratch: Path) -> set[str]:
    """Names of all files but the `-shm` and those of the replay."""
    found = (path for path in disk.rglob("*") if scratch not in path.parents and path.is_file())
    return {path.relative_to(disk).as_posix() for path in found if not path.name.endswith("-shm")}


def _contents(trace: Trace, disk: Path, old: Path, inode: int) -> str:
    """Say how a file differs from a replayed inode; empty when it doesn't."""
    under_way = [op for op in trace.unfinished if trace.inodes[op] == inode and trace.kinds[op] in DATA_KINDS]
    wild = [
        (trace.offsets[op], trace.offsets[op] + trace.lengths[op])
        for op, failed in trace.failed_writes
        if failed == inode
    ]
    return _compare(trace, disk, old, under_way, wild)


def _compare(trace: Trace, disk: Path, old: Path, under_way: list[int], wild: list[tuple[int, int]]) -> str:
    size_disk = disk.stat().st_size
    size_old = old.stat().st_size if old.exists() else 0
    ranges: list[tuple[int, int]] = list(wild)
    sizes = {size_old}
    for op in under_way:
        if trace.kinds[op] == TraceKind.TRUNCATE:
            sizes.add(trace.offsets[op])
            continue
        problem = _prefix_problem(trace, op, disk, old, size_disk, size_old)
        if problem:
            return problem
        low, high = trace.offsets[op], trace.offsets[op] + trace.lengths[op]
        ranges.append((low, high))
        if max(low, size_old) < size_disk <= high:
            sizes.add(size_disk)
    if any(size_old < size_disk <= high for _, high in wild):
        sizes.add(size_disk)
    if size_disk not in sizes:
        return f"{size_disk} bytes on the disk, {size_old} in the replay"
    at = _first_difference(disk, old, min(size_disk, size_old), ranges)
    return "" if at < 0 else f"differs from the replay at byte {at}"


def _prefix_problem(trace: Trace, op: int, disk: Path, old: Path, size_disk: int, size_old: int) -> str:
    """Whether the range of an unfinished write holds a prefix of it, then what was there before."""
    offset, data = trace.offsets[op], trace.data(op)
    with disk.open("rb") as file:
        file.seek(offset)
        there = file.read(len(data))
    before = b""
    if old.exists():
        with old.open("rb") as file:
            file.seek(offset)
            before = file.read(len(data))
    done = next((at for at in range(len(there)) if there[at] != data[at]), len(there))
    # Beyond the old end nothing but the write can have put bytes.
    if there[done:] == before[done : len(there)] and len(there) >= min(len(before), len(data)):
        return ""
    return f"the unfinished write at byte {offset} is neither absent nor whole nor a prefix"


def _first_difference(one: Path, other: Path, size: int, leave_out: list[tuple[int, int]]) -> int:
    position = 0
    with one.open("rb") as a, other.open("rb") if size else one.open("rb") as b:
        while position < size:
            count = min(TRANSFER_BYTES, size - position)
            x, y = bytearray(a.read(count)), bytearray(b.read(count))
            for low, high in leave_out:
                low, high = max(low - position, 0), min(high - position, count)
                if low < high:
                    x[low:high] = y[low:high] = bytes(high - low)
            if x != y:
                return position + next(at for at in range(count) if x[at] != y[at])
            position += count
    return -1


class _Stores:
    """One file an inode."""

    def __init__(self, trace: Trace, directory: Path) -> None:
        self._trace = trace
        self._directory = directory
        self._directory.mkdir(parents=True)
        self._descriptors: dict[int, int] = {}

    def path(self, inode: int) -> Path:
        self._descriptor(inode)
        return self._directory / str(inode)

    def _descriptor(self, inode: int) -> int:
        found = self._descriptors.get(inode)
        if found is None:
            if len(self._descriptors) > 64:
                self.close()
            path = self._directory / str(inode)
            new = not path.exists()
            found = self._descriptors[inode] = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
            if new:
                write_at(found, self._trace.initial_bytes(inode), 0)
        return found

    def apply(self, op: int) -> None:
        descriptor = self._descriptor(self._trace.inodes[op])
        if self._trace.kinds[op] == TraceKind.TRUNCATE:
            os.ftruncate(descriptor, self._trace.offsets[op])
        else:
            write_at(descriptor, self._trace.data(op), self._trace.offsets[op])

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
