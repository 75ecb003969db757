"""Replacing methods of one connection's main file, with any driver: what the tap does for all, done for one.

An apsw hands out the file by itself (`SQLITE_FCNTL_FILE_POINTER`, https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html);
for the standard library the tap sees it being opened. These functions run in an actor's process.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from crashlab.errors import LabError
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.driver import ApswDriver
from crashlab.log.trace import Role
from crashlab.sqlite.tap.layout import IO_METHODS_SIZES, METHODS, IoMethods, Slot
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.methods import callback_address, real_function
from crashlab.sqlite.tap.operation import Operation
from crashlab.sqlite.tap.tap import Tap

__all__ = ["connect", "replace"]

FCNTL_FILE_POINTER = 7
METHODS_VERSION = 3

_kept: list[IoMethods] = []


class _Openings(Listener):
    operations = frozenset({Operation.OPEN})


def connect(actor: Self, path: str, on: str) -> int:
    """Open a connection that has read nothing yet, and return the address of its `sqlite3_file`.

    Raises:
        LabError: it was not found.
    """
    if isinstance(actor.driver, ApswDriver):
        connection = actor.connections[on] = actor.driver.connect(path)
        cell = ctypes.c_void_p()
        connection.filecontrol("main", FCNTL_FILE_POINTER, ctypes.addressof(cell))
        found = [cell.value] if cell.value else []
    else:
        with Tap(_Openings()) as tap:
            actor.connections[on] = actor.driver.connect(path)
            found = [file.address for file in tap.files.values() if file.role is Role.MAIN]
    if len(found) != 1:
        raise LabError(f"{len(found)} main files were seen when {path} was opened, expected 1")
    return found[0]


def replace(address: int, operation: Operation, make: Callable[[Callable[..., int]], Callable[..., int]]) -> None:
    """Let `make(real)` be called in the place of a method of the open file at `address`, until it is closed.

    Raises:
        LabError: the file has no such method.
    """
    table = Slot(address)
    copy = IoMethods()
    version = ctypes.c_int.from_address(table.value).value
    if version < METHODS_VERSION:
        raise LabError(f"the file's methods have version {version}, expected {METHODS_VERSION}")
    ctypes.memmove(ctypes.addressof(copy), table.value, IO_METHODS_SIZES[METHODS_VERSION])
    name = METHODS[operation][0]
    function = make(real_function(operation, getattr(copy, name)))

    def never_raises(*arguments: Any) -> int:
        try:
            return function(*arguments)
        except Exception:  # it would vanish at the edge of C, with any result
            return 10

    setattr(copy, name, callback_address(operation, never_raises))
    _kept.append(copy)  # SQLite holds its address
    table.value = ctypes.addressof(copy)
