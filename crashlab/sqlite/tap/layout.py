"""The C structures and signatures of SQLite's operating system layer, for ctypes.

The order of members is part of SQLite's stable ABI (https://sqlite.org/c3ref/io_methods.html,
https://sqlite.org/c3ref/vfs.html). Every pointer is a raw `c_void_p`: SQLite keeps the `zName` pointer that
it gives to `xOpen`, and a `c_char_p` would hand it the address of a copy that is soon gone.
"""

from __future__ import annotations

import ctypes

from crashlab.sqlite.tap.operation import Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

P, INT, I64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64

METHODS: dict[Operation, tuple[str, tuple[Any, ...]]] = {
    Operation.CLOSE: ("xClose", (INT, P)),
    Operation.READ: ("xRead", (INT, P, P, INT, I64)),
    Operation.WRITE: ("xWrite", (INT, P, P, INT, I64)),
    Operation.TRUNCATE: ("xTruncate", (INT, P, I64)),
    Operation.SYNC: ("xSync", (INT, P, INT)),
    Operation.FILE_SIZE: ("xFileSize", (INT, P, P)),
    Operation.LOCK: ("xLock", (INT, P, INT)),
    Operation.UNLOCK: ("xUnlock", (INT, P, INT)),
    Operation.CHECK_RESERVED_LOCK: ("xCheckReservedLock", (INT, P, P)),
    Operation.FILE_CONTROL: ("xFileControl", (INT, P, INT, P)),
    Operation.SECTOR_SIZE: ("xSectorSize", (INT, P)),
    Operation.DEVICE_CHARACTERISTICS: ("xDeviceCharacteristics", (INT, P)),
    Operation.SHM_MAP: ("xShmMap", (INT, P, INT, INT, INT, P)),
    Operation.SHM_LOCK: ("xShmLock", (INT, P, INT, INT, INT)),
    Operation.SHM_BARRIER: ("xShmBarrier", (None, P)),
    Operation.SHM_UNMAP: ("xShmUnmap", (INT, P, INT)),
    Operation.FETCH: ("xFetch", (INT, P, I64, INT, P)),
    Operation.UNFETCH: ("xUnfetch", (INT, P, I64, P)),
}
"""Name and (result, arguments…) of each method of an open file, in the structure's order."""

VFS_METHODS: dict[Operation, tuple[str, tuple[Any, ...]]] = {
    Operation.OPEN: ("xOpen", (INT, P, P, P, INT, P)),
    Operation.DELETE: ("xDelete", (INT, P, P, INT)),
    Operation.ACCESS: ("xAccess", (INT, P, P, INT, P)),
    Operation.SLEEP: ("xSleep", (INT, P, INT)),
    Operation.RANDOMNESS: ("xRandomness", (INT, P, INT, P)),
}

SHM_SINCE, FETCH_SINCE = 2, 3
METHODS_SINCE = {
    Operation.SHM_MAP: SHM_SINCE,
    Operation.SHM_LOCK: SHM_SINCE,
    Operation.SHM_BARRIER: SHM_SINCE,
    Operation.SHM_UNMAP: SHM_SINCE,
    Operation.FETCH: FETCH_SINCE,
    Operation.UNFETCH: FETCH_SINCE,
}
"""The `iVersion` from which on a structure has the method at all."""


class IoMethods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3."""

    _fields_ = (("iVersion", INT), *((name, P) for name, _ in METHODS.values()))


IO_METHODS_SIZES = {
    1: IoMethods.xShmMap.offset,
    2: IoMethods.xFetch.offset,
    3: ctypes.sizeof(IoMethods),
}
"""Bytes of the structure by its `iVersion`."""


class Vfs(ctypes.Structure):
    """`sqlite3_vfs`, up to the members of version 1, which is all that is touched here."""

    _fields_ = (
        ("iVersion", INT),
        ("szOsFile", INT),
        ("mxPathname", INT),
        ("pNext", P),
        ("zName", P),
        ("pAppData", P),
        ("xOpen", P),
        ("xDelete", P),
        ("xAccess", P),
        ("xFullPathname", P),
        ("xDlOpen", P),
        ("xDlError", P),
        ("xDlSym", P),
        ("xDlClose", P),
        ("xRandomness", P),
        ("xSleep", P),
        ("xCurrentTime", P),
        ("xGetLastError", P),
    )


VFS_V3_BYTES = ctypes.sizeof(Vfs) + 4 * ctypes.sizeof(P)
"""Bytes of a whole version 3 structure: a copy that is to be registered must be this long."""


class Slot:
    """One pointer in memory that is not ours, at an address."""

    __slots__ = ("_cell", "address")

    def __init__(self, address: int) -> None:
        self.address = address
        self._cell = P.from_address(address)

    @property
    def value(self) -> int:
        """The pointer now; 0 for NULL."""
        return self._cell.value or 0

    @value.setter
    def value(self, pointer: int) -> None:
        self._cell.value = pointer


def address_of(callback: Any) -> int:
    """Return the address of a ctypes function object's code."""
    return ctypes.cast(callback, P).value or 0
