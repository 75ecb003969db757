"""The gate at the tap: every call of SQLite is a point of the running actor."""

import contextlib
import ctypes
from _thread import get_ident
from collections.abc import Callable
from typing import Any

from crashlab.sqlite.tap.layout import Slot
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.schedule.decide import CALLS, Mark
from crashlab.writers.schedule.handles import Handles
from crashlab.writers.schedule.turns import AbandonedError, Turns

__all__ = ["PointGate"]

_LOCK_TIMEOUT = 34  # https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html


class PointGate:
    """Stands before all operations and counts the grants of `turns` down; see `crashlab.sqlite.tap.gate`.

    `waits_in_the_system`: whether this SQLite may be built with SQLITE_ENABLE_SETLK_TIMEOUT.
    """

    def __init__(self, turns: Turns, *, waits_in_the_system: bool = True) -> None:
        self._turns = turns
        self._waits_in_the_system = waits_in_the_system

    def stand_before(self, operation: Operation, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what SQLite calls in the place of `function`."""
        if operation is Operation.SLEEP:
            return self._sleeping(function)
        if operation is Operation.FILE_CONTROL:
            function = self._controlling(function)
        turns, code, append = self._turns, CALLS[operation], self._turns.trace.append

        def passing(*arguments: Any) -> Any:
            if not turns.on:
                return function(*arguments)
            if turns.left and get_ident() == turns.ident:
                turns.left -= 1
            else:
                told = turns.stop(code, operation)
                if told is not None:
                    return told
            append(turns.base | code)
            rc = function(*arguments)
            append(rc & 0xFF if rc else 0)
            return rc

        if operation is Operation.OPEN and turns.handles is not None:
            return self._opening(passing, turns.handles)
        if operation is Operation.SHM_MAP:
            return self._mapping(passing)
        if operation in (Operation.SHM_UNMAP, Operation.CLOSE):
            return self._unmapping(passing, operation)
        return passing

    def _sleeping(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A sleep lasts no time: others run meanwhile."""
        turns = self._turns

        def sleeping(vfs: int, microseconds: int) -> Any:
            if not turns.mine:
                return function(vfs, microseconds)
            with contextlib.suppress(AbandonedError):  # it may not cross C; the calls that follow fail
                turns.wait(Mark.SLEEP)
            return microseconds

        return sleeping

    def _controlling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A build with SQLITE_ENABLE_SETLK_TIMEOUT would wait for locks inside the system; let it ask, and sleep."""
        if not self._waits_in_the_system:
            return function
        turns = self._turns

        def controlling(file: int, opcode: int, pointer: int | None) -> Any:
            if opcode == _LOCK_TIMEOUT and turns.on and pointer:
                ctypes.c_int.from_address(pointer).value = 0
            return function(file, opcode, pointer)

        return controlling

    def _opening(self, passing: Callable[..., Any], handles: Handles) -> Callable[..., Any]:
        """Remember which file the name means now."""

        def opening(vfs: int, name: int | None, file: int, flags: int, out: int | None) -> Any:
            rc = passing(vfs, name, file, flags, out)
            if rc == 0:
                handles.opened(file, name, flags)
            return rc

        return opening

    def _mapping(self, passing: Callable[..., Any]) -> Callable[..., Any]:
        """Remember where the wal-index's first region lies: while the file has it mapped it can be read there."""
        mapped, handles = self._turns.mapped, self._turns.handles

        def mapping(file: int, region: int, size: int, extend: int, out: int) -> Any:
            rc = passing(file, region, size, extend, out)
            if rc == 0 and region == 0 and (address := Slot(out).value):
                mapped[file] = address
                if handles is not None:
                    handles.mapped(file)
            return rc

        return mapping

    def _unmapping(self, passing: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
        mapped, handles = self._turns.mapped, self._turns.handles
        forget = None if handles is None else handles.closing if operation is Operation.CLOSE else handles.unmapping

        def unmapping(file: int, *arguments: Any) -> Any:
            mapped.pop(file, None)
            if forget is not None:
                forget(file)
            return passing(file, *arguments)

        return unmapping
