"""What the disk surely holds and what it only may hold, moment by moment.

An **epoch** is a run of moments in which nothing becomes durable: the pending operations only grow. A sync of
a file settles the writes to it that were done before the sync began; a sync of a directory settles its
entries (creates, deletes, renames). Nothing else is promised, and nothing else is ordered: as POSIX has it,
and as SQLite assumes (https://sqlite.org/atomiccommit.html, section 3).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from crashlab.log.trace import TraceKind
from crashlab.states.trace import Trace

__all__ = ["DATA_KINDS", "ENTRY_KINDS", "Epoch", "epochs"]

DATA_KINDS = frozenset({int(TraceKind.WRITE), int(TraceKind.TRUNCATE)})
ENTRY_KINDS = frozenset({int(TraceKind.CREATE), int(TraceKind.DELETE), int(TraceKind.RENAME)})


@dataclass(slots=True)
class Epoch:
    """Moments `first` to `last`, both included.

    `settled`: operations that became durable as the epoch began, in order. `names`: the durable names, name →
    inode. `pending`: what is pending at `last`, in order; at a moment it is the first `count(moment)` of them.
    """

    number: int
    first: int
    settled: tuple[int, ...]
    names: dict[str, int]
    pending: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The last moment."""
        return self.first + len(self.counts) - 1

    def count(self, moment: int) -> int:
        """How many operations are pending at a moment."""
        return self.counts[moment - self.first]


def epochs(trace: Trace) -> Iterator[Epoch]:
    """Yield the epochs of a trace, in order; together they have every moment once.

    An epoch that was yielded is not changed afterwards.
    """
    walk = _Walk(trace)
    epoch = Epoch(0, 0, (), dict(trace.initial_names), [], [0])
    for op in range(len(trace)):
        settled = walk.step(op)
        if settled:
            epoch.pending = walk.before
            yield epoch
            epoch = Epoch(epoch.number + 1, op + 1, settled, dict(walk.names), [], [])
        epoch.counts.append(len(walk.pending))
    epoch.pending = list(walk.pending)
    yield epoch


class _Walk:
    """Pending operations and durable names after each operation."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.names = dict(trace.initial_names)
        self.pending: list[int] = []
        self.before: list[int] = []

    def step(self, op: int) -> tuple[int, ...]:
        """Do one operation; return what it settled (and `before` is then what was pending before it)."""
        trace = self.trace
        kind = trace.kinds[op]
        if kind in DATA_KINDS:
            self.pending.append(op)
            return ()
        if kind in ENTRY_KINDS:
            self.pending.append(op)
            if trace.synced_dirs[op] < 0:
                return ()
            return self._settle(op, op)
        if kind in (TraceKind.SYNC, TraceKind.DIRSYNC) and self.pending:
            return self._settle(op, None)
        return ()

    def _settle(self, sync: int, itself: int | None) -> tuple[int, ...]:
        trace = self.trace
        began, directory = trace.starts[sync], trace.synced_dirs[sync]
        inode = trace.inodes[sync] if trace.kinds[sync] == TraceKind.SYNC else -1
        settled: list[int] = []
        left: list[int] = []
        for op in self.pending:
            if trace.kinds[op] in DATA_KINDS:
                durable = trace.inodes[op] == inode
            else:
                durable = directory >= 0 and self._in_directory(op, directory)
            # Threads: what was still under way when the sync began may have come too late for it.
            durable = durable and (trace.dones[op] < began or op == itself)
            (settled if durable else left).append(op)
        if not settled:
            return ()
        self.before = self.pending if itself is None else self.pending[:-1]
        self.pending = left
        entries = [op for op in settled if trace.kinds[op] in ENTRY_KINDS]
        if entries:
            for op in entries:
                apply_entry(trace, op, self.names)
            self._forget_unreachable()
        return tuple(settled)

    def _in_directory(self, op: int, directory: int) -> bool:
        trace = self.trace
        wanted = trace.directories[directory]
        if trace.kinds[op] == TraceKind.RENAME:
            # One journal transaction; taken as durable when the directory of its new name is.
            return trace.directory_of(trace.paths[trace.targets[op]]) == wanted
        return trace.directory_of(trace.paths[trace.names[op]]) == wanted

    def _forget_unreachable(self) -> None:
        """Drop writes to files that no longer have a name and can't get one back."""
        trace = self.trace
        reachable = set(self.names.values())
        reachable.update(trace.inodes[op] for op in self.pending if trace.kinds[op] in ENTRY_KINDS)
        self.pending = [op for op in self.pending if trace.kinds[op] in ENTRY_KINDS or trace.inodes[op] in reachable]


def apply_entry(trace: Trace, op: int, names: dict[str, int]) -> None:
    """Do a create, delete or rename to a mapping of names."""
    kind = trace.kinds[op]
    name = trace.paths[trace.names[op]]
    inode = trace.inodes[op]
    if kind == TraceKind.CREATE:
        names[name] = inode
    elif names.get(name) == inode:
        # An unsynced create of another file under this name may have been kept instead.
        del names[name]
    if kind == TraceKind.RENAME:
        names[trace.paths[trace.targets[op]]] = inode
