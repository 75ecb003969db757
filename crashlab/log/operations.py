"""The operations of a trace, read back from the one log: what :mod:`crashlab.log.trace` says how to write."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from crashlab.errors import RecordError
from crashlab.log.record import Record
from crashlab.log.trace import DIRSYNC_BIT, DONE, HEAD, ROLE_KINDS, ROLES, TRACE_KIND_MIN, Role, TraceKind, decode_name

_KINDS = {int(kind): kind for kind in TraceKind}
_FLAGS_MASK = DIRSYNC_BIT - 1


class Op(msgspec.Struct, frozen=True, gc=False):
    """One recorded operation.

    `seq_start`, `seq_done`: sequence numbers in the log of `process` (compare them with those of BEGIN and
    ACK). `seq_done` and `rc` are None when the process ended inside the operation: it may be absent, whole or
    a prefix. With `rc` not 0 the operation failed: a write may have left any part, the others did nothing.
    `offset`: of the first byte for WRITE, the new size for TRUNCATE, else 0. `target`: a RENAME's new name.
    `dirsync`: the directory's entries were synced too. `ns`: monotonic, of the START.
    """

    seq_start: int
    seq_done: int | None
    ns: int
    thread: int
    process: int
    kind: TraceKind
    file: int
    path: str
    role: Role
    offset: int = 0
    data: bytes = b""
    rc: int | None = None
    flags: int = 0
    dirsync: bool = False
    target: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it is known to have been done, wholly."""
        return self.rc == 0


def read_trace(records: Iterable[Record]) -> Iterator[Op]:
    """Yield the operations among a log's records, in the order of their STARTs; other kinds are passed over.

    `records`: of one process, or merged. At most the operations from the oldest unfinished one on are held
    back in memory.

    Raises:
        RecordError: a DONE without its START, an operation on a file that was never opened, a payload that is
            too short, or a kind that this version does not know.
    """
    files: dict[tuple[int, int], tuple[str, Role]] = {}
    waiting: deque[_Begun] = deque()
    unfinished: dict[tuple[int, int], _Begun] = {}
    for record in records:
        if record.kind < TRACE_KIND_MIN:
            continue
        kind = _KINDS.get(record.kind)
        if kind is None:
            raise RecordError(
                f"log: record {record.seq} is of kind {record.kind}, which this crashlab does not know; "
                "upgrade crashlab to read it"
            )
        try:
            if kind is TraceKind.DONE:
                start, rc = DONE.unpack_from(record.payload)
                entry = unfinished.pop((record.process, start), None)
                if entry is None:
                    raise RecordError(f"log: record {record.seq} ends operation {start}, which never began")
                entry.seq_done, entry.rc = record.seq, rc
            else:
                entry = _Begun(_decode_start(record, kind, files))
                unfinished[(record.process, record.seq)] = entry
                waiting.append(entry)
        except struct.error:
            raise RecordError(f"log: record {record.seq} ({kind.name}) is too short: the log is damaged") from None
        while waiting and waiting[0].seq_done is not None:
            yield waiting.popleft().finished()
    for entry in waiting:
        yield entry.finished()


class _Begun:
    """An operation whose DONE may still come."""

    __slots__ = ("op", "rc", "seq_done")

    def __init__(self, op: Op) -> None:
        self.op = op
        self.seq_done: int | None = None
        self.rc = 0

    def finished(self) -> Op:
        if self.seq_done is None:
            return self.op
        return msgspec.structs.replace(self.op, seq_done=self.seq_done, rc=self.rc)


def _decode_start(record: Record, kind: TraceKind, files: dict[tuple[int, int], tuple[str, Role]]) -> Op:
    file, raw_flags, offset = HEAD.unpack_from(record.payload)
    tail = record.payload[HEAD.size :]
    flags, dirsync = raw_flags, False
    data, target = b"", ""
    if kind in (TraceKind.SYNC, TraceKind.DELETE):
        flags, dirsync = raw_flags & _FLAGS_MASK, bool(raw_flags & DIRSYNC_BIT)
    if kind in ROLE_KINDS:
        if not 0 <= offset < len(ROLES):
            raise RecordError(f"log: record {record.seq} names role {offset}, expected 0 to {len(ROLES) - 1}")
        path, role, offset = decode_name(tail), ROLES[offset], 0
        if file:
            files[(record.process, file)] = (path, role)
    elif kind is TraceKind.RENAME:
        path, target, role = decode_name(tail[:offset]), decode_name(tail[offset:]), Role.PLAIN
        offset = 0
    elif kind is TraceKind.DIRSYNC:
        path, role = decode_name(tail), Role.PLAIN
    else:
        known = files.get((record.process, file))
        if known is None:
            raise RecordError(f"log: record {record.seq} ({kind.name}) is about file {file}, which was never opened")
        path, role = known
        data = tail
    return Op(
        record.seq, None, record.ns, record.thread, record.process, kind, file, path, role,
        offset, data, None, flags, dirsync, target,
    )  # fmt: skip
