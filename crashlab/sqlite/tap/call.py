"""One call of SQLite to its operating system layer, as a listener sees it."""

from __future__ import annotations

import ctypes
from _thread import get_ident

from crashlab.log.trace import Role
from crashlab.sqlite.tap.operation import SHM_OPERATIONS, Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crashlab.sqlite.tap.tap import Tap

# Where each operation's arguments hold what; argument 0 is the file (or the VFS).
_POINTER_AT = {
    Operation.READ: 1,
    Operation.WRITE: 1,
    Operation.FILE_SIZE: 1,
    Operation.CHECK_RESERVED_LOCK: 1,
    Operation.FILE_CONTROL: 2,
    Operation.SHM_MAP: 4,
    Operation.FETCH: 3,
    Operation.UNFETCH: 2,
    Operation.RANDOMNESS: 2,
    Operation.ACCESS: 3,
}
_SIZE_AT = {
    Operation.READ: 2,
    Operation.WRITE: 2,
    Operation.FETCH: 2,
    Operation.RANDOMNESS: 1,
    Operation.SHM_MAP: 2,
    Operation.SHM_LOCK: 2,
    Operation.SLEEP: 1,
}
_OFFSET_AT = {
    Operation.READ: 3,
    Operation.WRITE: 3,
    Operation.TRUNCATE: 1,
    Operation.FETCH: 1,
    Operation.UNFETCH: 1,
    Operation.SHM_MAP: 1,
    Operation.SHM_LOCK: 1,
}
_FLAGS_AT = {
    Operation.OPEN: 3,
    Operation.DELETE: 2,
    Operation.ACCESS: 2,
    Operation.SYNC: 1,
    Operation.LOCK: 1,
    Operation.UNLOCK: 1,
    Operation.FILE_CONTROL: 1,
    Operation.SHM_MAP: 3,
    Operation.SHM_LOCK: 3,
    Operation.SHM_UNMAP: 1,
}


class OpenFile:
    """One open file of SQLite.

    `address`: of its `sqlite3_file`, one for each connection and file. `name`: as SQLite gave it (absolute),
    "" for a nameless temporary file. `flags`: those of the open, https://sqlite.org/c3ref/c_open_autoproxy.html.
    `number`: of the recorder, 0 when it isn't recorded. `methods`: address of its own method table.
    """

    __slots__ = ("address", "directory_synced", "flags", "methods", "name", "number", "role")

    def __init__(self, address: int, name: str, role: Role, flags: int) -> None:
        self.address = address
        self.name = name
        self.role = role
        self.flags = flags
        self.number = 0
        self.methods = 0
        self.directory_synced = False


class Call:
    """What is being called, with its arguments; valid only while the call lasts.

    `file` is the open file (for `open` the one that is about to be), None for calls that concern none.
    """

    __slots__ = ("_name", "arguments", "file", "inner", "operation", "performed", "tap")

    def __init__(
        self, tap: Tap, operation: Operation, file: OpenFile | None, arguments: tuple[Any, ...], name: str = ""
    ) -> None:
        self.tap = tap
        self.operation = operation
        self.file = file
        self.arguments = arguments
        self.inner: Callable[[Call], int] = _never
        self._name = name
        self.performed = False  # kept for closes only

    @property
    def name(self) -> str:
        """The path that the call is about, "" for none; of the `-shm` file for calls on shared memory."""
        if self.file is None:
            return self._name
        return self.file.name + "-shm" if self.operation in SHM_OPERATIONS else self.file.name

    @property
    def role(self) -> Role:
        """What the file is to SQLite."""
        if self.operation in SHM_OPERATIONS:
            return Role.SHM
        if self.file is not None:
            return self.file.role
        return self.tap.role_of(self._name)

    @property
    def offset(self) -> int:
        """First byte of a read, write or fetch; new size of a truncate; first lock or region of shared memory."""
        return self._argument(_OFFSET_AT)

    @property
    def size(self) -> int:
        """Bytes to read, write or fill; number of locks; microseconds to sleep."""
        return self._argument(_SIZE_AT)

    @property
    def flags(self) -> int:
        """Flags or level, for `file-control` its opcode, for `delete` whether to sync the directory."""
        return self._argument(_FLAGS_AT)

    @property
    def pointer(self) -> int:
        """Address of the caller's buffer or result."""
        return self._argument(_POINTER_AT)

    @property
    def thread(self) -> int:
        """Identity of the calling thread."""
        return get_ident()

    def data(self) -> bytes:
        """A copy of the bytes that a write is to write, or that a read (afterwards) has read."""
        return ctypes.string_at(self.pointer, self.size)

    def perform(self, size: int | None = None) -> int:
        """Do it now, from inside a listener's `before`, and return its result code.

        `size`: only that many bytes of a write, from its first (0 or more, at most all).
        """
        if size is not None:
            place = _SIZE_AT[self.operation]
            self.arguments = (*self.arguments[:place], size, *self.arguments[place + 1 :])
        return self.inner(self)

    def _argument(self, places: dict[Operation, int]) -> int:
        place = places.get(self.operation)
        return (self.arguments[place] or 0) if place is not None else 0

    def __repr__(self) -> str:
        return f"Call({self.role}.{self.operation} {self.name!r} offset={self.offset} size={self.size})"


def _never(call: Call) -> int:
    raise AssertionError(f"{call!r} was performed before it reached a listener")
