"""What passes through the tap: SQLite's calls to its operating system layer, by name.

One member for each method of `sqlite3_io_methods` (https://sqlite.org/c3ref/io_methods.html) and for those of
`sqlite3_vfs` (https://sqlite.org/c3ref/vfs.html) that touch the disk, time or chance.
"""

from enum import StrEnum


class Operation(StrEnum):
    """One kind of call."""

    OPEN = "open"
    DELETE = "delete"
    ACCESS = "access"
    SLEEP = "sleep"
    RANDOMNESS = "randomness"
    CLOSE = "close"
    READ = "read"
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    FILE_SIZE = "file-size"
    LOCK = "lock"
    UNLOCK = "unlock"
    CHECK_RESERVED_LOCK = "check-reserved-lock"
    FILE_CONTROL = "file-control"
    SECTOR_SIZE = "sector-size"
    DEVICE_CHARACTERISTICS = "device-characteristics"
    SHM_MAP = "shm-map"
    SHM_LOCK = "shm-lock"
    SHM_BARRIER = "shm-barrier"
    SHM_UNMAP = "shm-unmap"
    FETCH = "fetch"
    UNFETCH = "unfetch"


VFS_OPERATIONS = frozenset({Operation.OPEN, Operation.DELETE, Operation.ACCESS, Operation.SLEEP, Operation.RANDOMNESS})
"""Those of the VFS itself; the others belong to an open file."""

SHM_OPERATIONS = frozenset({Operation.SHM_MAP, Operation.SHM_LOCK, Operation.SHM_BARRIER, Operation.SHM_UNMAP})

# Result codes, https://sqlite.org/rescode.html
OK = 0
IOERR = 10
NOT_FOUND = 12
FULL = 13
CANTOPEN = 14
IOERR_READ = 266
IOERR_SHORT_READ = 522

IO_ERROR_CODES: dict[Operation, int] = {
    Operation.OPEN: CANTOPEN,
    Operation.DELETE: IOERR | 10 << 8,
    Operation.ACCESS: IOERR | 13 << 8,
    Operation.CLOSE: IOERR | 16 << 8,
    Operation.READ: IOERR_READ,
    Operation.WRITE: IOERR | 3 << 8,
    Operation.TRUNCATE: IOERR | 6 << 8,
    Operation.SYNC: IOERR | 4 << 8,
    Operation.FILE_SIZE: IOERR | 7 << 8,
    Operation.LOCK: IOERR | 15 << 8,
    Operation.UNLOCK: IOERR | 8 << 8,
    Operation.CHECK_RESERVED_LOCK: IOERR | 14 << 8,
    Operation.SHM_MAP: IOERR | 21 << 8,
    Operation.SHM_LOCK: IOERR | 20 << 8,
    Operation.FETCH: IOERR | 24 << 8,
}
"""What the unix VFS answers when the system call behind an operation fails with EIO."""

NEVER_FAIL = frozenset(
    {
        Operation.SLEEP,
        Operation.RANDOMNESS,
        Operation.SECTOR_SIZE,
        Operation.DEVICE_CHARACTERISTICS,
        Operation.SHM_BARRIER,
        Operation.SHM_UNMAP,
        Operation.UNFETCH,
        Operation.FILE_CONTROL,
    }
)
"""Operations whose result SQLite doesn't read as an error code (or for which an error means "not known")."""
