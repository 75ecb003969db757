"""The trace in the one log: what reached the files, with bytes, in order with BEGIN and ACK.

Every operation is two records: a START before it is done, which carries everything that is needed to do it
again, and a DONE after it, with its result. A kill from outside leaves at most one START a thread without a
DONE: that operation may be absent, whole, or a prefix. What a listener of the tap refused never reached the
files and has no record here (the listener says so by a FIRED record of its own).

Payloads, little-endian. Every START begins with the same 16 bytes: file (u32), flags (u32), offset (i64);
a tail follows.

| kind     | file     | flags                                  | offset              | tail               |
|----------|----------|----------------------------------------|---------------------|--------------------|
| OPEN     | new id   | open flags (SQLite's; `os.O_*` if plain) | role's number     | name               |
| CREATE   | new id   | the same; the entry was not there before | role's number     | name               |
| WRITE    | id       | 0                                      | first byte          | the bytes          |
| TRUNCATE | id       | 0                                      | new size            |                    |
| SYNC     | id       | SQLite's sync flags, DIRSYNC bit       | 0                   |                    |
| CLOSE    | id       | 0                                      | 0                   |                    |
| DELETE   | 0        | DIRSYNC bit                            | role's number       | name               |
| RENAME   | 0        | 0                                      | bytes of 1st name   | old name, new name |
| DIRSYNC  | 0        | 0                                      | 0                   | directory's name   |
| DONE     | seq of its START (u64), rc (i32: 0 is success, an SQLite code, or errno if plain)           ||||

File ids are never used twice in one process; two opens of one file have two ids. Names are UTF-8 (bytes that
are not are kept by `surrogateescape`), relative to the run's directory with `/` where they are inside it
(`.` is that directory itself), else absolute.

The DIRSYNC bit says that the operation also synced the directory of its file. SQLite's unix VFS does so at
the first sync of a journal, super-journal or WAL that was opened with CREATE, and in a delete that asks for
it (`unixSync`, `unixDelete` in https://sqlite.org/src/file/src/os_unix.c); Windows has no directory sync.
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum, StrEnum

import msgspec

from crashlab.errors import RecordError
from crashlab.log.format import Record

HEAD = struct.Struct("<IIq")
"""file, flags, offset: the start of every START's payload."""

DONE = struct.Struct("<Qi")
"""seq of the START, rc."""

DIRSYNC_BIT = 1 << 31
TRACE_KIND_MIN = 32


class TraceKind(IntEnum):
    """The kinds of trace records. All but DONE are STARTs."""

    DONE = 32
    OPEN = 33
    CREATE = 34
    WRITE = 35
    TRUNCATE = 36
    SYNC = 37
    CLOSE = 38
    DELETE = 39
    RENAME = 40
    DIRSYNC = 41


class Role(StrEnum):
    """What a file is to SQLite; `PLAIN` is a file of the program's own."""

    MAIN = "main"
    WAL = "wal"
    SHM = "shm"
    JOURNAL = "journal"
    SUPER_JOURNAL = "super-journal"
    OTHER = "other"
    PLAIN = "plain"


ROLES = tuple(Role)
"""A role's number in a payload is its index here; append only."""

ROLE_NUMBER = {role: number for number, role in enumerate(ROLES)}


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


def encode_name(name: str) -> bytes:
    """Return a name as it is stored."""
    return name.encode("utf-8", "surrogateescape")


def decode_name(stored: bytes) -> str:
    """Return a stored name."""
    return bytes(stored).decode("utf-8", "surrogateescape")


def start_payload(
    kind: TraceKind, *, file: int = 0, flags: int = 0, offset: int = 0, role: Role = Role.PLAIN, tail: bytes = b""
) -> bytes:
    """Return the payload of a START; the role is stored for OPEN, CREATE and DELETE only."""
    if kind in _ROLE_KINDS:
        offset = ROLE_NUMBER[role]
    return HEAD.pack(file, flags, offset) + tail


def rename_payload(old: str, new: str) -> bytes:
    """Return the payload of a RENAME's START."""
    first = encode_name(old)
    return HEAD.pack(0, 0, len(first)) + first + encode_name(new)


_ROLE_KINDS = frozenset({TraceKind.OPEN, TraceKind.CREATE, TraceKind.DELETE})
_KINDS = {int(kind): kind for kind in TraceKind}
_FLAGS_MASK = DIRSYNC_BIT - 1


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
    if kind in _ROLE_KINDS:
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
