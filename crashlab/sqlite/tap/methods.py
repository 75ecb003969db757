"""Patched copies of SQLite's method tables: one for each table that the VFS hands out."""

from __future__ import annotations

import ctypes

from crashlab.sqlite.tap.layout import (
    IO_METHODS_SIZES,
    METHODS,
    METHODS_SINCE,
    VFS_METHODS,
    IoMethods,
    Slot,
    address_of,
)
from crashlab.sqlite.tap.operation import Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from types import CodeType, TracebackType
    from typing import Any

# SQLite's functions that take no mutex and do not wait are called without letting the GIL go: a round trip
# less, and no other Python thread between a write and its record. The others may wait for a thread that
# needs the GIL to go on, so they must let it go.
_KEEP_GIL = frozenset(
    {
        Operation.READ,
        Operation.WRITE,
        Operation.TRUNCATE,
        Operation.FILE_SIZE,
        Operation.FILE_CONTROL,
        Operation.SECTOR_SIZE,
        Operation.DEVICE_CHARACTERISTICS,
        Operation.FETCH,
        Operation.UNFETCH,
        Operation.RANDOMNESS,
    }
)

# A thread can be on its way into a callback at any moment, also after the tap was removed and the last file
# closed, and there is no way to see it; so what was once reachable from C is kept for the process's life.
_kept: list[object] = []
_codes: set[CodeType] = set()


def real_function(operation: Operation, pointer: int, *, keep_gil: bool = False) -> Callable[..., Any]:
    """Return a Python function that calls the C function at `pointer`, the `operation` of a table or VFS."""
    signature = (METHODS.get(operation) or VFS_METHODS[operation])[1]
    make = ctypes.PYFUNCTYPE if keep_gil or operation in _KEEP_GIL else ctypes.CFUNCTYPE
    return make(*signature)(pointer)


def callback_address(operation: Operation, function: Callable[..., Any]) -> int:
    """Return the address of a C function that calls `function`; it stays valid for ever."""
    signature = (METHODS.get(operation) or VFS_METHODS[operation])[1]
    callback = ctypes.CFUNCTYPE(*signature)(function)
    _kept.append(callback)
    _codes.add(function.__code__)
    return address_of(callback)


def came_from_callback(trace: TracebackType | None) -> bool:
    """Whether an exception left one of the callbacks (at its edge, where no `try` can hold it)."""
    return trace is not None and trace.tb_frame.f_code in _codes


class Tables:
    """The patched copies, by the address of the table that they were copied from.

    `replace(operation, real)` returns the Python function to put in the place of `real`, or None to leave it.
    `keep_gil`: no operation lets the GIL go, because only one thread at a time is inside SQLite at all. `operations`:
    only these are replaced.
    """

    def __init__(
        self,
        replace: Callable[[Operation, Callable[..., Any]], Callable[..., Any] | None],
        *,
        keep_gil: bool = False,
        operations: Container[Operation] = frozenset(Operation),
    ) -> None:
        self._replace = replace
        self._operations = operations
        self._keep_gil = keep_gil
        self._copies: dict[int, int] = {}

    def patched(self, original: int) -> int:
        """Return the address of the patched copy of the table at `original`."""
        if original not in self._copies:
            self._copies[original] = self._make(original)
        return self._copies[original]

    def _make(self, original: int) -> int:
        version = min(ctypes.c_int.from_address(original).value, 3)
        copy = IoMethods()
        ctypes.memmove(ctypes.addressof(copy), original, IO_METHODS_SIZES[version])
        copy.iVersion = version
        for operation, (name, _) in METHODS.items():
            pointer = getattr(copy, name)
            if not pointer or operation not in self._operations or METHODS_SINCE.get(operation, 1) > version:
                continue
            function = self._replace(operation, real_function(operation, pointer, keep_gil=self._keep_gil))
            if function is not None:
                setattr(copy, name, callback_address(operation, function))
        _kept.append(copy)
        return ctypes.addressof(copy)


class PatchedVfs:
    """Pointers of one `sqlite3_vfs` replaced in place, and put back."""

    def __init__(self, address: int) -> None:
        self.address = address
        self._replaced: list[tuple[Operation, Slot, int, int]] = []

    def replace(self, operation: Operation, slot: Slot, function: Callable[..., Any]) -> None:
        """Let `function` be called in the place of what the slot holds."""
        original, ours = slot.value, callback_address(operation, function)
        slot.value = ours
        self._replaced.append((operation, slot, original, ours))

    def hide(self, operation: Operation) -> None:
        """Put the original of one operation back for a while."""
        for replaced, slot, original, _ in self._replaced:
            if replaced is operation:
                slot.value = original

    def show(self, operation: Operation) -> None:
        """Put what replaces it in its place again."""
        for replaced, slot, _, ours in self._replaced:
            if replaced is operation:
                slot.value = ours

    def restore(self) -> list[Operation]:
        """Put the originals back; return the operations that somebody else has replaced since (left alone)."""
        taken = []
        for operation, slot, original, ours in reversed(self._replaced):
            if slot.value == ours:
                slot.value = original
            else:
                taken.append(operation)
        self._replaced.clear()
        return taken
