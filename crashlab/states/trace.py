"""A recorded run as columns: one row an operation that can change what a disk holds.

A **moment** is a number of operations done: moment 0 is before the first, moment `n` after the last; a crash
happens at a moment. Operations stand in the order of their STARTs, syncs in that of their DONEs: a sync
counts from when it returned, for what was done before it began.

A file is an **inode**: two files that had the same name one after the other are two. Left out are the `-shm`
(volatile), files without a name, files that SQLite unlinks as it opens them, and what lies outside the run's
directory. An operation that failed changes nothing here.
"""

import heapq
import itertools
import os
import posixpath
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from crashlab.errors import RecordError
from crashlab.log.operations import Op, read_trace
from crashlab.log.record import Record
from crashlab.log.trace import HEAD, Role, TraceKind
from crashlab.states.segments import Located, Segments

__all__ = ["Inode", "Trace", "load_trace", "trace_of"]

NOTHING = 0
"""The kind of an operation without effect on the disk (an open, a close, a failure)."""

DELETE_ON_CLOSE = 0x8  # SQLITE_OPEN_DELETEONCLOSE: the unix VFS unlinks the file as soon as it is open
_NEVER = (1 << 62) - 1


class Inode(NamedTuple):
    """A file, whatever its names: its first name, its role, and whether it was there before the recording."""

    path: str
    role: Role
    initial: bool


class Trace:
    """Recorded operations in columns, all of one length; see the module for their order.

    `kinds`: a TraceKind, or NOTHING. `inodes`: index into `files`, -1 for none. `offsets`, `lengths`: of a
    WRITE; `offsets` is the new size of a TRUNCATE. `names`, `targets`: index into `paths` of the name made,
    removed or renamed. `synced_dirs`: index into `directories` of the directory whose entries the operation
    made durable, -1 for none. `starts`, `dones`: positions among all records of the trace, `dones` beyond all
    of them when it never ended. `process`, `seq`, `ns`: of the record that the operation's place in the order
    comes from.
    """

    def __init__(self, initial: Path | None) -> None:
        self.initial = initial
        self.kinds = array("B")
        self.inodes = array("i")
        self.offsets = array("q")
        self.lengths = array("q")
        self.names = array("i")
        self.targets = array("i")
        self.synced_dirs = array("i")
        self.starts = array("q")
        self.dones = array("q")
        self.process = array("i")
        self.seq = array("q")
        self.ns = array("q")
        self.files: list[Inode] = []
        self.paths: list[str] = []
        self.directories: list[str] = []
        self.initial_names: dict[str, int] = {}
        self.final_names: dict[str, int] = {}
        self.failed_writes: list[tuple[int, int]] = []
        """(place in the order, inode) of writes that failed: they may have left any part."""
        self.unfinished: list[int] = []
        """Operations that had begun when their process ended."""
        self.left_out: set[str] = set()
        """Names of files that are no part of the states."""
        self._segment = array("i")
        self._position = array("q")
        self._segments: Segments | None = None
        self._payloads: list[bytes] = []
        self._last = -1
        self._view = memoryview(b"")

    def __len__(self) -> int:
        return len(self.kinds)

    def data(self, op: int) -> memoryview:
        """Return the bytes of a WRITE; a view into the log, not a copy."""
        if self._segments is None:
            return memoryview(self._payloads[self._position[op]])
        segment = self._segment[op]
        if segment != self._last:
            self._view, self._last = self._segments.view(segment), segment
        start = self._position[op]
        return self._view[start : start + self.lengths[op]]

    def initial_bytes(self, inode: int) -> bytes:
        """Return what a file held before the recording; empty for one that was created in it."""
        file = self.files[inode]
        return (self.initial / file.path).read_bytes() if file.initial and self.initial else b""

    def directory_of(self, path: str) -> str:
        """Return the directory that holds a name, `.` for the run's own."""
        return posixpath.dirname(path) or "."

    def happened_before(self, moment: int) -> Callable[[Record], bool]:
        """Return a test for log records: whether one stands before a crash at this moment.

        All that the program logged until the next operation began counts (the strictest reading of an ack).
        """
        if not 0 <= moment <= len(self):
            raise RecordError(f"moment {moment} is outside this trace of {len(self)} operations")
        if moment == len(self):
            return lambda record: True
        process, seq, ns = self.process[moment], self.seq[moment], self.ns[moment]
        return lambda record: record.seq < seq if record.process == process else record.ns < ns

    def describe(self, op: int) -> str:
        """Return one line about an operation, for timelines and messages."""
        kind = self.kinds[op]
        if kind == NOTHING:
            return f"#{op} nothing"
        name = TraceKind(kind).name.lower()
        path = self.paths[self.names[op]] if self.names[op] >= 0 else ""
        if kind == TraceKind.WRITE:
            return f"#{op} write {path} {self.offsets[op]}+{self.lengths[op]}"
        if kind == TraceKind.TRUNCATE:
            return f"#{op} truncate {path} to {self.offsets[op]}"
        if kind == TraceKind.RENAME:
            return f"#{op} rename {path} to {self.paths[self.targets[op]]}"
        dirsync = " and its directory" if self.synced_dirs[op] >= 0 and kind != TraceKind.DIRSYNC else ""
        return f"#{op} {name} {path}{dirsync}"


def load_trace(bases: Sequence[str], *, initial: Path | None = None) -> Trace:
    """Load the trace from one or more logs of one run (paths without the segment's number).

    `initial`: a directory with the files as they were before the recording, if it did not start from nothing.
    Memory grows with the number of operations (about 100 bytes each), not with their bytes.

    Raises:
        RecordError: a damaged or newer log, an operation on an unknown file, two processes or threads that
            wrote one range at once (the order of their bytes is not known).
    """
    segments = Segments()
    streams = [segments.read(base) for base in bases]
    merged: Iterable[Located]
    if len(streams) == 1:
        merged = streams[0]
    else:
        merged = heapq.merge(*streams, key=lambda at: (at.record.ns, at.record.process, at.record.seq))
    builder = _Builder(Trace(initial))
    builder.trace._segments = segments
    builder.build(merged)
    return builder.trace


def trace_of(records: Iterable[Record], *, initial: Path | None = None) -> Trace:
    """Build a trace from records in memory (their payloads are kept)."""
    builder = _Builder(Trace(initial))
    builder.build(Located(record, -1, -1) for record in records)
    return builder.trace


class _Builder:
    """Turns records into columns, following names and file ids."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._names: dict[str, int] = {}
        self._open: dict[tuple[int, int], int] = {}
        self._path_ids: dict[str, int] = {}
        self._directory_ids: dict[str, int] = {}
        self._places: deque[tuple[int, int]] = deque()
        self._starts: dict[tuple[int, int], int] = {}
        self._dones: dict[tuple[int, int], tuple[int, int]] = {}
        self._flying: dict[tuple[int, int], tuple[int, int, int, str]] = {}
        self._flying_paths: dict[tuple[int, int], str] = {}
        self._position = 0
        if trace.initial is not None:
            for path in sorted(p for p in trace.initial.rglob("*") if p.is_file()):
                name = path.relative_to(trace.initial).as_posix()
                if not name.endswith("-shm"):
                    self._names[name] = self._new_inode(name, Role.PLAIN, initial=True)
        trace.initial_names = dict(self._names)

    def build(self, located: Iterable[Located]) -> None:
        for op in read_trace(self._watched(located)):
            self._add(op)
        self.trace.final_names = self._names
        self._order()

    def _watched(self, located: Iterable[Located]) -> Iterator[Record]:
        """Pass records on, noting where their bytes are, their place, and writes that overlap in time."""
        write, truncate, done = TraceKind.WRITE, TraceKind.TRUNCATE, TraceKind.DONE
        for record, segment, position in located:
            place = self._position
            self._position = place + 1
            if record.kind == done:
                start = (record.process, int.from_bytes(record.payload[:8], "little"))
                self._dones[start] = (place, record.ns)
                self._flying.pop(start, None)
            elif record.kind > done:
                key = (record.process, record.seq)
                self._starts[key] = place
                if record.kind in (write, truncate):
                    if record.kind == write:
                        self._places.append((segment, position + HEAD.size))
                    self._check_overlap(key, record)
                elif record.kind in (TraceKind.OPEN, TraceKind.CREATE):
                    file, _flags, _offset = HEAD.unpack_from(record.payload)
                    self._flying_paths[(record.process, file)] = bytes(record.payload[HEAD.size :]).decode(
                        "utf-8", "surrogateescape"
                    )
            yield record

    def _check_overlap(self, key: tuple[int, int], record: Record) -> None:
        file, _flags, offset = HEAD.unpack_from(record.payload)
        path = self._flying_paths.get((record.process, file), "")
        end = offset + len(record.payload) - HEAD.size if record.kind == TraceKind.WRITE else _NEVER
        for other_offset, other_end, other_seq, other_path in self._flying.values():
            if path == other_path and path and offset < other_end and other_offset < end:
                raise RecordError(
                    f"log: operations {other_seq} and {record.seq} wrote the same range of {path!r} at once: "
                    "which bytes were last is not known; record again"
                )
        self._flying[key] = (offset, end, record.seq, path)

    def _new_inode(self, path: str, role: Role, *, initial: bool = False) -> int:
        self.trace.files.append(Inode(path, role, initial))
        return len(self.trace.files) - 1

    def _path(self, path: str) -> int:
        found = self._path_ids.get(path)
        if found is None:
            found = self._path_ids[path] = len(self.trace.paths)
            self.trace.paths.append(path)
        return found

    def _directory(self, path: str) -> int:
        found = self._directory_ids.get(path)
        if found is None:
            found = self._directory_ids[path] = len(self.trace.directories)
            self.trace.directories.append(path)
        return found

    def _add(self, op: Op) -> None:
        trace = self.trace
        kind, inode, name, target, synced = int(op.kind), -1, -1, -1, -1
        offset, length = op.offset, len(op.data)
        place = self._places.popleft() if op.kind is TraceKind.WRITE else (-1, -1)
        if self._outside(op):
            kind = NOTHING
        elif op.kind in (TraceKind.OPEN, TraceKind.CREATE):
            kind, inode = self._opened(op)
            offset = 0
            if op.kind is TraceKind.CREATE and kind != NOTHING and op.path.count("/"):
                self._directory(trace.directory_of(op.path))
        elif op.kind in (TraceKind.WRITE, TraceKind.TRUNCATE, TraceKind.SYNC, TraceKind.CLOSE):
            inode = self._open.get((op.process, op.file), -1)
            if inode < 0:
                kind = NOTHING
        if kind != NOTHING and op.rc not in (0, None):
            if op.kind is TraceKind.WRITE:
                trace.failed_writes.append((len(trace), inode))
            kind = NOTHING
        if kind != NOTHING:
            name = self._path(op.path)
            if op.kind in (TraceKind.DELETE, TraceKind.RENAME):
                inode, target = self._moved(op)
            elif op.kind is TraceKind.CLOSE:
                kind = NOTHING
            if op.kind is TraceKind.DIRSYNC:
                synced = self._directory(op.path)
            elif op.dirsync and op.rc is not None:
                synced = self._directory(trace.directory_of(op.path))
            if op.rc is None:
                if op.kind in (TraceKind.SYNC, TraceKind.DIRSYNC):
                    kind, synced = NOTHING, -1
                else:
                    trace.unfinished.append(len(trace))
        self._row(op, (kind, inode, offset, length, name, target, synced), place)

    def _row(self, op: Op, row: tuple[int, int, int, int, int, int, int], place: tuple[int, int]) -> None:
        trace = self.trace
        kind, inode, offset, length, name, target, synced = row
        key = (op.process, op.seq_start)
        start = self._starts.pop(key)
        done, ns_done = self._dones.pop(key, (_NEVER, op.ns))
        at_end = kind in (TraceKind.SYNC, TraceKind.DIRSYNC)
        trace.kinds.append(kind)
        trace.inodes.append(inode)
        trace.offsets.append(offset)
        trace.lengths.append(length)
        trace.names.append(name)
        trace.targets.append(target)
        trace.synced_dirs.append(synced)
        trace.starts.append(start)
        trace.dones.append(done)
        trace.process.append(op.process)
        trace.seq.append(op.seq_done if at_end and op.seq_done is not None else op.seq_start)
        trace.ns.append(ns_done if at_end else op.ns)
        if trace._segments is None:
            trace._position.append(len(trace._payloads) if length else -1)
            if length:
                trace._payloads.append(op.data)
        else:
            trace._segment.append(place[0])
            trace._position.append(place[1])

    def _outside(self, op: Op) -> bool:
        """Whether the operation is about something that is no part of the states."""
        names = [op.path] if op.kind is not TraceKind.RENAME else [op.path, op.target]
        for name in names:
            parts = name.split("/")
            absolute = posixpath.isabs(name) or ".." in parts or (len(name) > 1 and name[1] == ":")
            opening = op.kind in (TraceKind.OPEN, TraceKind.CREATE)
            unlinked = opening and op.role is not Role.PLAIN and op.flags & DELETE_ON_CLOSE
            if not name or absolute or unlinked or op.role is Role.SHM:
                if name and op.role is not Role.SHM:
                    self.trace.left_out.add(name)
                return True
        return False

    def _opened(self, op: Op) -> tuple[int, int]:
        key = (op.process, op.file)
        if op.rc not in (0, None):
            return NOTHING, -1
        if op.kind is TraceKind.CREATE:
            inode = self._open[key] = self._names[op.path] = self._new_inode(op.path, op.role)
            return int(TraceKind.CREATE), inode
        found = self._names.get(op.path)
        if found is None:
            raise RecordError(
                f"log: {op.path!r} was opened and held something before the recording began; "
                "record from an empty directory, or give the directory's first contents"
            )
        self._open[key] = found
        if self.trace.files[found].role is Role.PLAIN:  # there before, or made by the program and then SQLite's
            self.trace.files[found] = self.trace.files[found]._replace(role=op.role)
        if op.role is Role.PLAIN and op.flags & os.O_TRUNC:
            return int(TraceKind.TRUNCATE), found
        return NOTHING, found

    def _moved(self, op: Op) -> tuple[int, int]:
        if op.kind is TraceKind.DELETE:
            inode = self._names.pop(op.path, None) if op.rc == 0 else self._names.get(op.path)
            if inode is None:
                raise RecordError(f"log: {op.path!r} was deleted, but was never there; the recording is not whole")
            return inode, -1
        inode = self._names.pop(op.path, None) if op.rc == 0 else self._names.get(op.path)
        if inode is None:
            raise RecordError(f"log: {op.path!r} was renamed, but was never there; the recording is not whole")
        if op.rc == 0:
            self._names[op.target] = inode
        return inode, self._path(op.target)

    def _order(self) -> None:
        """Put syncs where they returned, if anything else began while they ran."""
        trace = self.trace
        syncs = (TraceKind.SYNC, TraceKind.DIRSYNC)
        keys = [trace.dones[op] if trace.kinds[op] in syncs else trace.starts[op] for op in range(len(trace))]
        if all(a <= b for a, b in itertools.pairwise(keys)):
            return
        order = sorted(range(len(keys)), key=keys.__getitem__)
        columns = (
            "kinds", "inodes", "offsets", "lengths", "names", "targets", "synced_dirs", "starts", "dones",
            "process", "seq", "ns", "_segment", "_position",
        )  # fmt: skip
        for column in columns:
            values: array[int] = getattr(trace, column)
            if values:
                setattr(trace, column, array(values.typecode, [values[op] for op in order]))
        place = {old: new for new, old in enumerate(order)}
        trace.unfinished = sorted(place[op] for op in trace.unfinished)
        trace.failed_writes = sorted((place[op], inode) for op, inode in trace.failed_writes)
