"""Where a recorded database committed, and when each commit became durable.

A commit is, in WAL mode, the write that completes a commit frame
(https://sqlite.org/fileformat2.html#walformat); with a rollback journal, the end of the journal: its deletion, its
truncation to nothing or the zeroing of its header (https://sqlite.org/atomiccommit.html section 3.11, 3.12). A
journal that ends in a rollback looks the same and leaves the database as it was, which is legal as well. When the
program itself makes, removes or replaces the file, that too begins a state of its own.
"""

import struct
from bisect import bisect_left, bisect_right

import msgspec

from crashlab.log.trace import Role, TraceKind
from crashlab.states.generations import FRAME_HEADER, WAL_HEADER
from crashlab.states.pending import DATA_KINDS, ENTRY_KINDS, epochs
from crashlab.states.trace import Trace

__all__ = ["Commits", "databases", "find_commits"]

NEVER = 1 << 62


class Commits(msgspec.Struct, frozen=True):
    """The commits of one database; number 0 is the database before the first.

    `ops`: the operation that completed commit 1, 2, …; `settled`: the first moment at which a power loss no longer
    takes it; `at_once`: a sync of its own made it durable before the database was changed again, so that the one who
    commits is promised it (a checkpoint's sync is none). `own`: how many of them SQLite made, the others being the
    making, removal or replacement of the file. `unjournalled`: an operation that changed the database with
    neither journal nor WAL, -1 for none.
    """

    database: str
    ops: tuple[int, ...]
    settled: tuple[int, ...]
    at_once: tuple[bool, ...]
    own: int
    unjournalled: int = -1

    def done(self, moment: int) -> int:
        """Return the number of the last commit that was complete at a moment."""
        return bisect_left(self.ops, moment)

    def promised(self, moment: int) -> int:
        """Return the number of the last commit that a power loss at a moment must leave."""
        return bisect_right(self.settled, moment)


def databases(trace: Trace) -> tuple[str, ...]:
    """Return the names of the databases that the run opened, sorted."""
    return tuple(sorted({file.path for file in trace.files if file.role is Role.MAIN}))


def find_commits(trace: Trace, database: str) -> Commits:
    """Find the commits of one database."""
    walk = _Walk(trace, database)
    for op in range(len(trace)):
        walk.step(op)
    first_settled = _settled(trace, walk.ops)
    settled: list[int] = []
    at_once: list[bool] = []
    for number, op in enumerate(walk.ops):
        moment = first_settled.get(op, NEVER)
        following = bisect_right(walk.changes, op)
        next_change = walk.changes[following] if following < len(walk.changes) else NEVER
        own_sync = moment != NEVER and moment - 1 not in walk.checkpoint_syncs
        at_once.append(own_sync and moment - 1 <= next_change)
        settled.append(moment)
        # What is durable later but undone by nothing earlier counts from the earliest of all that follow.
        for before in range(number - 1, -1, -1):
            if settled[before] <= moment:
                break
            settled[before] = moment
    return Commits(database, tuple(walk.ops), tuple(settled), tuple(at_once), walk.own, walk.unjournalled)


def _settled(trace: Trace, wanted: list[int]) -> dict[int, int]:
    """Return for each of some operations the first moment at which it is durable."""
    left = set(wanted)
    return {op: epoch.first for epoch in epochs(trace) for op in epoch.settled if op in left}


class _Walk:
    """Follows one database's files through the trace."""

    def __init__(self, trace: Trace, database: str) -> None:
        self.trace = trace
        self.database, self.wal, self.journal = database, f"{database}-wal", f"{database}-journal"
        self.ops: list[int] = []
        self.changes: list[int] = []
        self.own = 0
        self._main_changed = False
        self.unjournalled = -1
        self._commit_end = -1
        self._page_size = self._page_size_before()
        self.checkpoint_syncs: set[int] = set()
        self._wal_sync = -1
        self._journal_there = self.journal in trace.initial_names
        self._wal_there = self.wal in trace.initial_names

    def step(self, op: int) -> None:
        trace = self.trace
        kind = trace.kinds[op]
        if kind == TraceKind.SYNC and trace.files[trace.inodes[op]].path == self.wal:
            self._wal_sync = op
        if kind not in DATA_KINDS and kind not in ENTRY_KINDS:
            return
        name = trace.paths[trace.names[op]]
        target = trace.paths[trace.targets[op]] if kind == TraceKind.RENAME else ""
        if kind not in ENTRY_KINDS and trace.files[trace.inodes[op]].path not in (name, self.database):
            name = trace.files[trace.inodes[op]].path
        if not {name, target} & {self.database, self.wal, self.journal}:
            return
        self.changes.append(op)
        if self.database in (name, target):
            self._main(op, kind)
        elif name == self.wal:
            self._wal(op, kind)
        elif name == self.journal:
            self._journal(op, kind)

    def _main(self, op: int, kind: int) -> None:
        if kind in ENTRY_KINDS:
            self.ops.append(op)
            return
        self._main_changed = True
        if self._wal_sync >= 0:
            # The last sync of the WAL before the database is written is a checkpoint's, whatever the settings; with
            # synchronous=FULL each commit has had one of its own (https://sqlite.org/pragma.html#pragma_synchronous).
            self.checkpoint_syncs.add(self._wal_sync)
        if not self._journal_there and not self._wal_there and self.unjournalled < 0:
            self.unjournalled = op

    def _wal(self, op: int, kind: int) -> None:
        trace = self.trace
        if kind in ENTRY_KINDS:
            self._wal_there = kind == TraceKind.CREATE
        if kind != TraceKind.WRITE:
            return
        self._wal_sync = -1
        offset, data = trace.offsets[op], trace.data(op)
        if offset == 0 and len(data) >= WAL_HEADER:
            (self._page_size,) = struct.unpack_from(">I", data, 8)
            self._commit_end = -1
            return
        if self._page_size and (offset - WAL_HEADER) % (FRAME_HEADER + self._page_size) == 0:
            _page, size = struct.unpack_from(">II", data) if len(data) >= FRAME_HEADER else (0, 0)
            self._commit_end = offset + FRAME_HEADER + self._page_size if size else -1
        if 0 <= self._commit_end <= offset + len(data):
            self._commit_end = -1
            self.own += 1
            self.ops.append(op)

    def _journal(self, op: int, kind: int) -> None:
        trace = self.trace
        ended = False
        if kind == TraceKind.CREATE:
            self._journal_there = True
        elif kind in ENTRY_KINDS:
            ended = self._journal_there
            self._journal_there = False
        elif kind == TraceKind.TRUNCATE:
            ended = self._journal_there and not trace.offsets[op]
            self._journal_there = bool(trace.offsets[op])
        elif trace.offsets[op] == 0 and not bytes(trace.data(op)[:8]).strip(b"\0"):
            ended = len(trace.data(op)) == 28 and not bytes(trace.data(op)).strip(b"\0")
            self._journal_there = not ended
        else:
            self._journal_there = True
        if ended:
            # A transaction that was rolled back before anything of it was written is none of its commits.
            self.own += self._main_changed
            self._main_changed = False
            self.ops.append(op)

    def _page_size_before(self) -> int:
        inode = self.trace.initial_names.get(self.wal)
        head = self.trace.initial_bytes(inode)[:WAL_HEADER] if inode is not None else b""
        return int(struct.unpack_from(">I", head, 8)[0]) if len(head) == WAL_HEADER else 0
