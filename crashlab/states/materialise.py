"""From a crash state to files: once plainly, and incrementally with undo.

The durable contents are kept in files of their own, one an inode, and rolled forward as the moments go by
(`_Base`). The plain way copies them and does the kept operations. The incremental way leaves the files of the
last state where they are, undoes what the next one hasn't got and does what it has in addition; both give the
same bytes, which the tests compare. Give it a directory in memory (tmpfs) where there is one.

Moments must not go back to an earlier epoch cheaply: going back starts anew from the beginning.
"""

import contextlib
import os
import posixpath
import shutil
from collections.abc import Iterator
from pathlib import Path

from crashlab.errors import LabError
from crashlab.log.trace import TraceKind
from crashlab.states.files import BINARY, TRANSFER_BYTES, read_at, write_all_at, write_at
from crashlab.states.pending import DATA_KINDS, Epoch, apply_entry, epochs
from crashlab.states.state import SECTOR, CrashState, Kept, resolve
from crashlab.states.trace import Trace

__all__ = ["Materialiser"]

Item = tuple[int, int | None]
"""An operation and the mask of its sectors that are there, None for the whole."""


class Materialiser:
    """Shows crash states of one trace as files in `work`, one at a time. A context manager.

    `directory`: empty or not yet there; it is this object's own and is removed on leaving.
    """

    def __init__(self, trace: Trace, directory: Path) -> None:
        self.trace = trace
        self.directory = directory
        self.work = directory / "work"
        self.work.mkdir(parents=True)
        self._directories = _directories(trace)
        self._make_directories(self.work)
        self._base = _Base(trace, directory / "base")
        self._shown: dict[str, _Shown] = {}

    def __enter__(self) -> "Materialiser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files and remove the directory."""
        self.clear()
        self._base.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def show(self, state: CrashState) -> Path:
        """Make `work` hold this state and return it. Undoes the last state; assumes that nobody changed it."""
        kept = self._seek(state)
        names = self._names(kept)
        per_inode = self._per_inode(kept)
        for path in [path for path, shown in self._shown.items() if names.get(path) != shown.inode]:
            self._remove(path)
        for path, inode in names.items():
            items = per_inode.get(inode, [])
            shown = self._shown.get(path)
            if shown is None:
                target = self.work / path
                self._base.copy(inode, target)
                shown = self._shown[path] = _Shown(inode, os.open(target, os.O_RDWR | BINARY), self._base, self.trace)
            shown.change_to(items)
            if kept.torn and self.trace.inodes[kept.torn[0]] == inode:
                shown.tear(*kept.torn)
        return self.work

    def export(self, state: CrashState, directory: Path) -> None:
        """Write this state's files into an empty directory, the plain way; `work` stays as it is.

        For restart paths that change files, and for case directories.
        """
        kept = self._seek(state)
        per_inode = self._per_inode(kept)
        self._make_directories(directory)
        for path, inode in self._names(kept).items():
            target = directory / path
            self._base.copy(inode, target)
            descriptor = os.open(target, os.O_RDWR | BINARY)
            try:
                _do(self.trace, descriptor, per_inode.get(inode, []))
                if kept.torn and self.trace.inodes[kept.torn[0]] == inode:
                    op, size = kept.torn
                    write_at(descriptor, self.trace.data(op)[:size], self.trace.offsets[op])
            finally:
                os.close(descriptor)

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the shown state's files by name."""
        return {path: os.fstat(shown.descriptor).st_size for path, shown in self._shown.items()}

    def clear(self) -> None:
        """Remove all that is in `work`, whoever put it there: call it after anything that changed the files."""
        for shown in self._shown.values():
            os.close(shown.descriptor)
        self._shown.clear()
        for entry in os.scandir(self.work):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        self._make_directories(self.work)

    def _make_directories(self, root: Path) -> None:
        """A directory itself is never lost, nor not there yet: its own entry has no record."""
        for name in self._directories:
            (root / name).mkdir(parents=True, exist_ok=True)

    def epoch_of(self, moment: int) -> Epoch:
        """Return the epoch of a moment; the durable files are rolled on to it."""
        if not self._base.epoch.first <= moment <= self._base.epoch.last:
            for shown in self._shown.values():
                shown.change_to([])
            if moment < self._base.epoch.first:
                self.clear()
            settled = self._base.roll_to(moment)
            for shown in self._shown.values():
                _do(self.trace, shown.descriptor, [(op, None) for op in settled.get(shown.inode, ())])
                shown.size = self._base.size(shown.inode)
        return self._base.epoch

    def _seek(self, state: CrashState) -> Kept:
        return resolve(self.trace, self.epoch_of(state.op), state)

    def _names(self, kept: Kept) -> dict[str, int]:
        if not kept.entries:
            return self._base.epoch.names
        names = dict(self._base.epoch.names)
        for op in kept.entries:
            apply_entry(self.trace, op, names)
        return names

    def _per_inode(self, kept: Kept) -> dict[int, list[Item]]:
        inodes = self.trace.inodes
        only = self._base.only_inode()
        if only >= 0:
            return {only: list(kept.data)}
        found: dict[int, list[Item]] = {}
        for item in kept.data:
            inode = inodes[item[0]]
            if inode in found:
                found[inode].append(item)
            else:
                found[inode] = [item]
        return found

    def _remove(self, path: str) -> None:
        os.close(self._shown.pop(path).descriptor)
        os.unlink(self.work / path)


class _Shown:
    """One file of the shown state: the durable contents with some operations done to it."""

    def __init__(self, inode: int, descriptor: int, base: "_Base", trace: Trace) -> None:
        self.inode = inode
        self.descriptor = descriptor
        self.size = base.size(inode)
        self._base = base
        self._trace = trace
        self._items: list[Item] = []
        self._torn: tuple[int, int] | None = None

    def change_to(self, items: list[Item]) -> None:
        """Undo and do until exactly these operations are done."""
        if self._torn is None and self._items == items:
            return
        if self._torn is None and self._base.disjoint(self.inode):
            self._exchange(items)
        else:
            self._undo_all()
            _do(self._trace, self.descriptor, items)
        self._items = items

    def tear(self, op: int, size: int) -> None:
        """Do the first bytes of a write."""
        write_at(self.descriptor, self._trace.data(op)[:size], self._trace.offsets[op])
        self._torn = (op, size)

    def _exchange(self, items: list[Item]) -> None:
        """Undo and do only what differs; where no operation lies over another the order doesn't matter."""
        trace = self._trace
        mine, wanted = dict(self._items), dict(items)
        fresh = [(op, mask) for op, mask in items if mine.get(op, 0) != mask]
        end = max(self.size, _end(trace, *items[-1]) if items else 0)
        start = stop = 0
        for op, mask in self._items:
            # What will be written over wholly needs no undoing.
            if wanted.get(op, 0) == mask or wanted.get(op, 0) is None:
                continue
            low = trace.offsets[op]
            if low != stop:
                self._restore(start, stop, end)
                start = low
            stop = low + trace.lengths[op]
        self._restore(start, stop, end)
        _do(trace, self.descriptor, fresh)
        os.ftruncate(self.descriptor, end)

    def _undo_all(self) -> None:
        trace = self._trace
        for op in [op for op, _ in self._items] + ([self._torn[0]] if self._torn else []):
            low = trace.offsets[op]
            cut = trace.kinds[op] == TraceKind.TRUNCATE
            self._restore(low, self.size if cut else low + trace.lengths[op], self.size)
        os.ftruncate(self.descriptor, self.size)
        self._torn = None

    def _restore(self, start: int, stop: int, end: int) -> None:
        """Put back the durable bytes of a range: zeros behind their end, up to the file's new end."""
        durable = min(stop, self.size)
        source = self._base.descriptor(self.inode) if start < durable else -1
        while start < durable:
            data = read_at(source, min(TRANSFER_BYTES, durable - start), start)
            write_at(self.descriptor, data, start)
            start += len(data)
        start = max(start, self.size)
        if start < min(stop, end):
            write_at(self.descriptor, bytes(min(stop, end) - start), start)


class _Base:
    """The durable contents of every inode that has or may get a name, at one epoch."""

    def __init__(self, trace: Trace, directory: Path) -> None:
        self._trace = trace
        self._directory = directory
        self._directory.mkdir()
        self._descriptors: dict[int, int] = {}
        self._disjoint: dict[int, bool] = {}
        self._start()

    def _start(self) -> None:
        self._epochs: Iterator[Epoch] = epochs(self._trace)
        self.epoch = next(self._epochs)
        self._disjoint.clear()
        self._only: int | None = None

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def roll_to(self, moment: int) -> dict[int, list[int]]:
        """Go on to the epoch of a moment; return the data operations that were settled on the way, by inode."""
        if moment < self.epoch.first:
            for inode in list(self._descriptors):
                self._forget(inode)
            self._start()
        settled: dict[int, list[int]] = {}
        while moment > self.epoch.last:
            epoch = next(self._epochs, None)
            if epoch is None:
                raise LabError(f"moment {moment} is beyond the trace's {len(self._trace)} operations")
            self.epoch = epoch
            self._disjoint.clear()
            self._only = None
            entries = False
            for op in epoch.settled:
                if self._trace.kinds[op] in DATA_KINDS:
                    inode = self._trace.inodes[op]
                    _do(self._trace, self.descriptor(inode), [(op, None)])
                    settled.setdefault(inode, []).append(op)
                else:
                    entries = True
            if entries and len(self._descriptors) > 64:
                self._drop_unreachable()
        return settled

    def descriptor(self, inode: int) -> int:
        found = self._descriptors.get(inode)
        if found is None:
            path = self._directory / str(inode)
            found = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
            self._descriptors[inode] = found
            initial = self._trace.initial_bytes(inode)
            if initial:
                write_at(found, initial, 0)
        return found

    def only_inode(self) -> int:
        """Return the one file that the epoch's pending writes are about, -1 for none or several."""
        if self._only is None:
            inodes = {self._trace.inodes[op] for op in self.epoch.pending if self._trace.kinds[op] in DATA_KINDS}
            self._only = inodes.pop() if len(inodes) == 1 else -1
        return self._only

    def disjoint(self, inode: int) -> bool:
        """Whether the epoch's pending writes to a file lie behind one another, and none cuts it off."""
        found = self._disjoint.get(inode)
        if found is None:
            found = True
            end = 0
            trace = self._trace
            for op in self.epoch.pending:
                if trace.inodes[op] != inode or trace.kinds[op] not in DATA_KINDS:
                    continue
                if trace.kinds[op] == TraceKind.TRUNCATE or trace.offsets[op] < end:
                    found = False
                    break
                end = trace.offsets[op] + trace.lengths[op]
            self._disjoint[inode] = found
        return found

    def size(self, inode: int) -> int:
        return os.fstat(self.descriptor(inode)).st_size

    def copy(self, inode: int, target: Path) -> None:
        self.descriptor(inode)
        shutil.copyfile(self._directory / str(inode), target)

    def _drop_unreachable(self) -> None:
        reachable = set(self.epoch.names.values()) | {self._trace.inodes[op] for op in self.epoch.pending}
        for inode in [inode for inode in self._descriptors if inode not in reachable]:
            self._forget(inode)

    def _forget(self, inode: int) -> None:
        os.close(self._descriptors.pop(inode))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._directory / str(inode))


def _directories(trace: Trace) -> list[str]:
    """Directories below the run's own that hold any file of the trace."""
    found = {posixpath.dirname(path) for path in (*trace.paths, *(file.path for file in trace.files))}
    return sorted(name for name in {*found, *trace.directories} if name and not name.startswith(("/", "..")))


def _end(trace: Trace, op: int, mask: int | None) -> int:
    """The end of what an operation wrote."""
    if trace.kinds[op] == TraceKind.TRUNCATE:
        return 0
    end = trace.offsets[op] + trace.lengths[op]
    if mask is None:
        return end
    return min(end, (trace.offsets[op] // SECTOR + mask.bit_length()) * SECTOR)


def _do(trace: Trace, descriptor: int, items: list[Item]) -> None:
    """Do operations in order, neighbours in one call."""
    offsets, kinds, write = trace.offsets, trace.kinds, int(TraceKind.WRITE)
    parts: list[memoryview] = []
    start = end = -1
    for op, mask in items:
        offset = offsets[op]
        if kinds[op] != write:
            if parts:
                write_all_at(descriptor, parts, start)
            parts, end = [], -1
            os.ftruncate(descriptor, offset)
            continue
        data = trace.data(op)
        if mask is None:
            if offset != end:
                if parts:
                    write_all_at(descriptor, parts, start)
                parts, start = [], offset
            parts.append(data)
            end = offset + len(data)
            continue
        for low, high in _ranges(mask, offset, len(data)):
            if offset + low != end:
                if parts:
                    write_all_at(descriptor, parts, start)
                parts, start = [], offset + low
            parts.append(data[low:high])
            end = offset + high
    if parts:
        write_all_at(descriptor, parts, start)


def _ranges(mask: int, offset: int, length: int) -> list[tuple[int, int]]:
    """The ranges of a write that its sectors' mask stands for, neighbours joined."""
    found: list[tuple[int, int]] = []
    shift = offset % SECTOR
    sector = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        run = (~mask & (mask + 1)).bit_length() - 1
        mask >>= run
        first = sector + skip
        sector = first + run
        found.append((max(0, first * SECTOR - shift), min(length, sector * SECTOR - shift)))
    return found
