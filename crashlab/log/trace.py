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
from enum import IntEnum, StrEnum

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
    if kind in ROLE_KINDS:
        offset = ROLE_NUMBER[role]
    return HEAD.pack(file, flags, offset) + tail


def rename_payload(old: str, new: str) -> bytes:
    """Return the payload of a RENAME's START."""
    first = encode_name(old)
    return HEAD.pack(0, 0, len(first)) + first + encode_name(new)


ROLE_KINDS = frozenset({TraceKind.OPEN, TraceKind.CREATE, TraceKind.DELETE})
"""Those STARTs whose offset is a role's number."""
