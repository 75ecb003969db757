"""The tap: every call of an unmodified SQLite to its operating system layer, seen and steered from Python.

The default VFS's `xOpen` is replaced in place, and each file opened from then on gets a patched copy of its
method table. No compiled code, and the program under test is not changed. Files that were open before are
not seen: install the tap before the program connects.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
from _thread import RLock, allocate_lock

from crashlab.errors import LabError, LimitError, UsageError
from crashlab.log.trace import Role
from crashlab.sqlite.tap.call import Call, OpenFile
from crashlab.sqlite.tap.layout import VFS_METHODS, Slot, Vfs
from crashlab.sqlite.tap.library import find_bindings
from crashlab.sqlite.tap.listener import chain
from crashlab.sqlite.tap.methods import PatchedVfs, Tables, came_from_callback, real_function
from crashlab.sqlite.tap.operation import IO_ERROR_CODES, IOERR, NEVER_FAIL, VFS_OPERATIONS, Operation
from crashlab.sqlite.tap.redelivery import raise_soon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType, TracebackType
    from typing import Any, Self

    from crashlab.sqlite.tap.gate import Gate
    from crashlab.sqlite.tap.listener import Listener
    from crashlab.sqlite.tap.recorder import Recorder

__all__ = ["Tap"]

ERRORS_MAX = 100
_ALWAYS_SEEN = frozenset({Operation.SHM_MAP, Operation.SHM_UNMAP, Operation.CLOSE})

# https://sqlite.org/c3ref/c_open_autoproxy.html
_ROLE_BY_OPEN_FLAG = (
    (0x00000100, Role.MAIN),
    (0x00080000, Role.WAL),
    (0x00000800, Role.JOURNAL),
    (0x00004000, Role.SUPER_JOURNAL),
)

_installed: dict[Tap, frozenset[int]] = {}
"""The VFSes that each tap has."""

_installing = allocate_lock()


class Tap:
    """A tap on the SQLite behind a DB-API module, in this process; a context manager.

    `listeners`: outermost first. `recorder`: innermost, it records what reaches the files. `gate`: stands before
    all of them. `module`: whose SQLite. `phase()`: names the phase that the calling thread's program is in, for
    selectors that ask. One tap can be installed at a time on a SQLite; of several, the last one is uninstalled first.

    Raises, from `install`: TapUnavailableError (saying which SQLite and why), UsageError (one is installed
    already). From `uninstall`: LabError when a listener raised, LimitError when the log's limit was reached.
    """

    def __init__(
        self,
        *listeners: Listener,
        recorder: Recorder | None = None,
        gate: Gate | None = None,
        module: ModuleType = sqlite3,
        phase: Callable[[], str] | None = None,
    ) -> None:
        self.listeners = listeners
        self.recorder = recorder
        self.gate = gate
        self.phase: Callable[[], str] = phase or (lambda: "")
        self.errors: list[Exception] = []
        self.files: dict[int, OpenFile] = {}
        self._module = module
        # Held while a file leaves `files`: after that its memory is SQLite's again and must not be written.
        self._closing = RLock()
        self._roles: dict[str, Role] = {}
        self._vfses: list[PatchedVfs] = []
        self._tables = self._whole = self._least = Tables(self._gated, keep_gil=gate is not None)
        self._wanted = {operation for listener in listeners for operation in listener.operations}

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.uninstall()
        except (LabError, LimitError):
            if error is None or isinstance(error, Exception):
                raise

    def install(self) -> None:
        """Put the tap in place; connections opened from now on pass through it."""
        own = getattr(self._module, "tap_bindings", None)  # one whose SQLite has no symbols brings its own
        self.bindings = find_bindings(self._module) if own is None else own()
        addresses = self.bindings.file_vfses()
        with _installing:
            if any(not taken.isdisjoint(addresses) for taken in _installed.values()):
                raise UsageError("a tap is installed in this process already; give its listeners to one Tap")
            _installed[self] = frozenset(addresses)
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._struck
        try:
            if self.recorder is not None:
                self.recorder.attached(self)
            keep_gil = self.gate is not None
            self._tables = self._whole = Tables(self._gated, keep_gil=keep_gil)
            self._least = Tables(self._gated, keep_gil=keep_gil, operations=_ALWAYS_SEEN)
            for address in addresses:
                self._patch(address)
            for listener in self.listeners:
                listener.attached(self)
        except BaseException:
            self.uninstall()
            raise

    def uninstall(self) -> None:
        """Put everything back as it was; open connections go on without the tap.

        Raises LabError or LimitError, see the class. Nothing happens when it isn't installed.
        """
        with _installing:
            if self not in _installed:
                return
            del _installed[self]
        taken = [operation for vfs in self._vfses for operation in vfs.restore()]
        self._vfses.clear()
        self.let_go()
        for listener in self.listeners:
            listener.detached(self)
        if sys.unraisablehook == self._struck:
            sys.unraisablehook = self._unraisable
        if taken:
            self.errors.append(LabError(f"somebody else replaced {', '.join(sorted(set(taken)))} of the VFS too"))
        if self.errors:
            first = self.errors[0]
            if isinstance(first, LimitError):
                raise first
            raise LabError(
                f"{len(self.errors)} errors inside the tap, the first: {type(first).__name__}: {first}"
            ) from first

    def look_away(self) -> None:
        """Let files be opened unseen from now on, until `look_again`; those that are open already still are seen."""
        for vfs in self._vfses:
            vfs.hide(Operation.OPEN)

    def look_again(self) -> None:
        """See the files that are opened from now on."""
        for vfs in self._vfses:
            vfs.show(Operation.OPEN)

    def hold_back(self) -> None:
        """Of files that are opened from now on see no more than closes and where shared memory lies, until `take_hold`.

        Opening a connection makes dozens of calls; where nobody asks about them, passing them on is half their cost.
        """
        self._tables = self._least

    def take_hold(self) -> None:
        """See every call of the files that are open, and of those that are opened from now on."""
        self._tables = self._whole
        with self._closing:
            for file in self.files.values():
                Slot(file.address).value = self._whole.patched(file.methods)

    def let_go(self) -> None:
        """See no more of the files that are open now."""
        self._tables = self._whole
        with self._closing:
            for file in self.files.values():
                Slot(file.address).value = file.methods
            self.files.clear()

    def role_of(self, name: str) -> Role:
        """What a path is to SQLite, from how it was opened, else from its name."""
        known = self._roles.get(name)
        if known is not None:
            return known
        for suffix, role in (("-wal", Role.WAL), ("-journal", Role.JOURNAL), ("-shm", Role.SHM)):
            if name.endswith(suffix):
                return role
        return Role.OTHER

    # -- building what is called ------------------------------------------------------------------------

    def _listening(self, operation: Operation) -> list[Listener]:
        return [listener for listener in self.listeners if operation in listener.operations]

    def _patch(self, address: int) -> None:
        vfs = PatchedVfs(address)
        self._vfses.append(vfs)

        def slot(operation: Operation) -> Slot:
            return Slot(address + getattr(Vfs, VFS_METHODS[operation][0]).offset)

        def real(operation: Operation) -> Callable[..., Any]:
            return real_function(operation, slot(operation).value)

        def replace(operation: Operation, function: Callable[..., Any]) -> None:
            if self.gate is not None and operation is not Operation.RANDOMNESS:
                function = self.gate.stand_before(operation, function)
            vfs.replace(operation, slot(operation), function)

        whole = self.recorder is not None or self.gate is not None
        if whole or self._wanted - VFS_OPERATIONS or Operation.OPEN in self._wanted:
            replace(Operation.OPEN, self._opener(real(Operation.OPEN)))
        if whole or Operation.DELETE in self._wanted:
            replace(Operation.DELETE, self._deleter(real(Operation.DELETE)))
        for operation in (Operation.ACCESS, Operation.SLEEP, Operation.RANDOMNESS):
            if operation in self._wanted:
                layers = chain(self._listening(operation), _performer(real(operation)))
                replace(operation, self._vfs_function(operation, layers))
            elif self.gate is not None and operation is not Operation.RANDOMNESS:
                replace(operation, real(operation))

    def _gated(self, operation: Operation, real: Callable[..., Any]) -> Callable[..., Any] | None:
        function = self._replacement(operation, real)
        return function if self.gate is None else self.gate.stand_before(operation, function or real)

    def _replacement(self, operation: Operation, real: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return what to put in the place of a method of an open file, or None."""
        listening = self._listening(operation)
        if operation is Operation.CLOSE:
            return self._closer(listening, real)
        inner = self.recorder.wrap(operation, real, self) if self.recorder is not None else None
        if not listening:
            return inner  # the recorder's functions have the guard in themselves: one call less
        layers = chain(listening, _performer(inner or real))
        files, failed = self.files, self.failed

        def function(*arguments: Any) -> int:
            try:
                return layers(Call(self, operation, files.get(arguments[0]), arguments))
            except BaseException as error:
                return failed(error, operation, function, arguments)

        return function

    def _opener(self, real: Callable[..., int]) -> Callable[..., int]:
        def innermost(call: Call) -> int:
            file = call.file
            assert file is not None
            rc = self.recorder.open(file, real, call.arguments) if self.recorder else real(*call.arguments)
            table = Slot(file.address)
            if rc == 0 and table.value:
                file.methods = table.value
                self.files[file.address] = file
                if file.name:
                    self._roles[file.name] = file.role
                table.value = self._tables.patched(file.methods)
            return rc

        layers = chain(self._listening(Operation.OPEN), innermost)

        def function(vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
            arguments = (vfs, name, file, flags, out)
            try:
                opening = OpenFile(file, _text(name), _role(flags), flags)
                rc = layers(Call(self, Operation.OPEN, opening, arguments))
            except BaseException as error:
                rc = self.failed(error, Operation.OPEN, function, arguments)
            if rc != 0 and file not in self.files:
                Slot(file).value = 0  # SQLite must not try to close what was never opened
            return rc

        return function

    def _closer(self, listening: list[Listener], real: Callable[..., int]) -> Callable[..., int]:
        def innermost(call: Call) -> int:
            call.performed = True
            if self.recorder is None or call.file is None:
                return real(*call.arguments)
            return self.recorder.close(call.file, real, call.arguments)

        layers = chain(listening, innermost)

        def function(address: int) -> int:
            with self._closing:
                file = self.files.pop(address, None)
            call = Call(self, Operation.CLOSE, file, (address,))
            try:
                rc = layers(call)
            except BaseException as error:
                rc = self.failed(error, Operation.CLOSE, lambda: 0, ())
            # SQLite forgets a file whatever its close answers, so it is closed whatever a listener answers.
            if not call.performed:
                real(address)
            return rc

        return function

    def _deleter(self, real: Callable[..., int]) -> Callable[..., int]:
        def innermost(call: Call) -> int:
            role = call.role
            self._roles.pop(call.name, None)
            if self.recorder is None:
                return real(*call.arguments)
            return self.recorder.delete(call.name, role, real, call.arguments)

        return self._vfs_function(Operation.DELETE, chain(self._listening(Operation.DELETE), innermost))

    def _vfs_function(self, operation: Operation, layers: Callable[[Call], int]) -> Callable[..., int]:
        named = operation in (Operation.DELETE, Operation.ACCESS)

        def function(*arguments: Any) -> int:
            try:
                return layers(Call(self, operation, None, arguments, _text(arguments[1]) if named else ""))
            except BaseException as error:
                return self.failed(error, operation, function, arguments)

        return function

    def _struck(self, lost: sys.UnraisableHookArgs) -> None:
        """A signal handler raised at the first instruction of a callback, before its `try`.

        ctypes then answers SQLite with whatever it likes, and the call was not made: the run is worth nothing.
        """
        if not came_from_callback(lost.exc_traceback):
            self._unraisable(lost)
            return
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(LabError(f"{lost.exc_type.__name__} struck at the edge of a call, which was lost"))
        raise_soon(lost.exc_type)

    def failed(
        self, error: BaseException, operation: Operation, again: Callable[..., int], arguments: Iterable[Any]
    ) -> int:
        """An exception came up to the edge of C, where it would vanish: remember it, answer with an I/O error.

        What a signal handler raised (KeyboardInterrupt, say) is the program's own: the call is made again, and
        an exception of that type raised anew in this thread a moment later. (Raised from here it would strike
        before the return to C.) Should that moment be inside the next call, it comes here once more.
        """
        if not isinstance(error, Exception):
            raise_soon(type(error))
            return again(*arguments)
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(error)
        return 0 if operation in NEVER_FAIL else IO_ERROR_CODES.get(operation, IOERR)


def _performer(real: Callable[..., Any]) -> Callable[[Call], int]:
    def innermost(call: Call) -> int:
        return real(*call.arguments) or 0  # xShmBarrier returns nothing

    return innermost


def _role(flags: int) -> Role:
    for flag, role in _ROLE_BY_OPEN_FLAG:
        if flags & flag:
            return role
    return Role.OTHER


def _text(name: int | None) -> str:
    return os.fsdecode(ctypes.string_at(name)) if name else ""
