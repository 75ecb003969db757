"""From a crash state to files: once plainly, and incrementally with undo.

The durable contents are kept in files of their own, one an inode, and rolled forward as the moments go by
(`_Base`). The plain way copies them and does the kept operations. The incremental way leaves the files of the
last state where they are, undoes what the next one hasn't got and does what it has in addition; both give the
same bytes, which the tests compare. Give it a directory in memory (tmpfs) where there is one.

Moments must not go back to an earlier epoch cheaply: going back starts anew from the beginning.
"""

import contextlib
import os
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
                if "/" in path:
                    target.parent.mkdir(parents=True, exist_ok=True)
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
        for path, inode in self._names(kept).items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._base.copy(inode, target)
            descriptor = os.open(target, os.O_RDWR | BINARY)
            try:
                _do(self.trace, descriptor, per_inode.get(inode, []), 0)
                if kept.torn and self.trace.inodes[kept.torn[0]] == inode:
                    op, size = kept.torn
                    write_at(descriptor, self.trace.data(op)[:size], self.trace.offsets[op])
            finally:
                os.close(descriptor)

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

    def epoch_of(self, moment: int) -> Epoch:
        """Return the epoch of a moment; the durable files are rolled on to it."""
        if not self._base.epoch.first <= moment <= self._base.epoch.last:
            for shown in self._shown.values():
                shown.change_to([])
            if moment < self._base.epoch.first:
                self.clear()
            settled = self._base.roll_to(moment)
            for shown in self._shown.values():
                _do(self.trace, shown.descriptor, [(op, None) for op in settled.get(shown.inode, ())], 0)
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
        # Whether an operation may lie over an earlier one, or cut it off: then all are undone together.
        self._overlap = False

    def change_to(self, items: list[Item]) -> None:
        """Undo and do until exactly these operations are done."""
        now = self._items
        if self._torn is None and now == items:
            return
        same = 0
        if not self._overlap and self._torn is None:
            for mine, wanted in zip(now, items, strict=False):
                if mine != wanted:
                    break
                same += 1
        if same < len(now) or self._torn:
            self._undo(same)
        self._overlap = _do(self._trace, self.descriptor, items[same:], _reach(self._trace, items, same))
        self._items = items

    def tear(self, op: int, size: int) -> None:
        """Do the first bytes of a write."""
        write_at(self.descriptor, self._trace.data(op)[:size], self._trace.offsets[op])
        self._torn = (op, size)

    def _undo(self, upto: int) -> None:
        trace = self._trace
        source = self._base.descriptor(self.inode)
        undone = self._items[upto:] + ([(self._torn[0], None)] if self._torn else [])
        start, end = -1, -1
        for op, _ in undone:
            low = trace.offsets[op]
            high = self.size if trace.kinds[op] == TraceKind.TRUNCATE else low + trace.lengths[op]
            if low == end:  # frames follow one another: restore them together
                end = high
                continue
            self._restore(source, start, end)
            start, end = low, high
        self._restore(source, start, end)
        kept_end = self.size
        for op, mask in self._items[:upto]:
            kept_end = max(kept_end, _end(trace, op, mask))
        os.ftruncate(self.descriptor, kept_end)
        self._torn = None

    def _restore(self, source: int, start: int, end: int) -> None:
        end = min(end, self.size)
        while 0 <= start < end:
            data = read_at(source, min(TRANSFER_BYTES, end - start), start)
            write_at(self.descriptor, data, start)
            start += len(data)


class _Base:
    """The durable contents of every inode that has or may get a name, at one epoch."""

    def __init__(self, trace: Trace, directory: Path) -> None:
        self._trace = trace
        self._directory = directory
        self._directory.mkdir()
        self._descriptors: dict[int, int] = {}
        self._start()

    def _start(self) -> None:
        self._epochs: Iterator[Epoch] = epochs(self._trace)
        self.epoch = next(self._epochs)

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
            entries = False
            for op in epoch.settled:
                if self._trace.kinds[op] in DATA_KINDS:
                    inode = self._trace.inodes[op]
                    _do(self._trace, self.descriptor(inode), [(op, None)], 0)
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


def _end(trace: Trace, op: int, mask: int | None) -> int:
    """The end of what an operation wrote."""
    if trace.kinds[op] == TraceKind.TRUNCATE:
        return 0
    end = trace.offsets[op] + trace.lengths[op]
    if mask is None:
        return end
    return min(end, (trace.offsets[op] // SECTOR + mask.bit_length()) * SECTOR)


def _reach(trace: Trace, items: list[Item], upto: int) -> int:
    """The end of the last of the first operations, -1 for none of them."""
    if not upto:
        return -1
    op = items[upto - 1][0]
    return trace.offsets[op] + trace.lengths[op]


def _do(trace: Trace, descriptor: int, items: list[Item], reach: int) -> bool:
    """Do operations in order, neighbours in one call; return whether any began before the last one's end.

    `reach`: the end of what was done before them.
    """
    overlap = False
    offsets, lengths, kinds, write = trace.offsets, trace.lengths, trace.kinds, int(TraceKind.WRITE)
    parts: list[memoryview] = []
    start = end = -1
    for op, mask in items:
        offset = offsets[op]
        if kinds[op] != write:
            if parts:
                write_all_at(descriptor, parts, start)
            parts, end = [], -1
            os.ftruncate(descriptor, offset)
            overlap = True
            continue
        if offset < reach:
            overlap = True
        reach = offset + lengths[op]
        data = trace.data(op)
        for low, high in ((0, len(data)),) if mask is None else _ranges(mask, offset, len(data)):
            if offset + low != end:
                if parts:
                    write_all_at(descriptor, parts, start)
                parts, start = [], offset + low
            parts.append(data[low:high])
            end = offset + high
    if parts:
        write_all_at(descriptor, parts, start)
    return overlap


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
