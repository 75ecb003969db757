"""Finding the very SQLite library that a Python module has loaded, so that its insides can be reached.

A process may hold several SQLites. The right one is found through the extension module's own symbol lookup
and then proven: a VFS registered in it under a name of ours must be seen by the module's `connect`.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
from _thread import allocate_lock

from crashlab.errors import TapUnavailableError
from crashlab.sqlite.tap.layout import INT, VFS_METHODS, VFS_V3_BYTES, P, Slot, Vfs, address_of
from crashlab.sqlite.tap.operation import CANTOPEN, Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

__all__ = ["Bindings", "find_bindings", "tap_problem"]

_PROBE = "crashlab-probe"
_WINDOWS_NAMES = ("sqlite3.dll", "libsqlite3-0.dll")
_found: dict[str, Bindings] = {}
_finding = allocate_lock()


class Bindings:
    """The functions of one loaded SQLite that the tap needs."""

    def __init__(self, library: ctypes.CDLL, where: str) -> None:
        self.where = where
        self.library = library
        self.find_vfs = library.sqlite3_vfs_find
        self.find_vfs.restype, self.find_vfs.argtypes = P, (ctypes.c_char_p,)
        self.register_vfs = library.sqlite3_vfs_register
        self.register_vfs.restype, self.register_vfs.argtypes = INT, (P, INT)
        self.unregister_vfs = library.sqlite3_vfs_unregister
        self.unregister_vfs.restype, self.unregister_vfs.argtypes = INT, (P,)
        self.initialize = library.sqlite3_initialize
        self.initialize.restype, self.initialize.argtypes = INT, ()
        self.randomness = library.sqlite3_randomness
        self.randomness.restype, self.randomness.argtypes = None, (INT, P)
        self._version = library.sqlite3_libversion
        self._version.restype, self._version.argtypes = ctypes.c_char_p, ()
        try:
            self._option_used: Any = library.sqlite3_compileoption_used
            self._option_used.restype, self._option_used.argtypes = INT, (ctypes.c_char_p,)
        except AttributeError:  # SQLITE_OMIT_COMPILEOPTION_DIAGS
            self._option_used = None

    @property
    def version(self) -> str:
        """The library's own version, such as `3.40.1`."""
        return str(self._version().decode())

    def compiled_with(self, option: str) -> bool:
        """Whether a compile option is set; False where the library was built without such answers."""
        return self._option_used is not None and bool(self._option_used(option.encode()))

    def restart_randomness(self) -> None:
        """Let SQLite's random number generator start anew from the VFS's `xRandomness`."""
        self.randomness(0, None)

    def file_vfses(self) -> list[int]:
        """Addresses of the registered VFSes that open files as the default one does (unix, unix-none, …).

        Others (`memdb`, shims that programs registered) hold no files of their own or call down to these.
        """
        default = self.find_vfs(None)
        if not default:
            return []
        opener = Vfs.from_address(default).xOpen
        found: list[int] = []
        address = default
        while address and address not in found:
            vfs = Vfs.from_address(address)
            if vfs.xOpen == opener:
                found.append(address)
            address = vfs.pNext
        return found


def find_bindings(module: ModuleType = sqlite3) -> Bindings:
    """Return the bindings of the SQLite behind a DB-API module (`sqlite3`, or one shaped like it).

    Raises:
        TapUnavailableError: it cannot be reached (a static build without symbols, PyPy), saying which.
    """
    with _finding:
        known = _found.get(module.__name__)
        if known is None:
            known = _found[module.__name__] = _find(module)
        return known


def tap_problem(module: ModuleType = sqlite3) -> str | None:
    """Return why the SQLite behind a module cannot be tapped, or None when it can."""
    try:
        find_bindings(module)
    except TapUnavailableError as error:
        return str(error)
    return None


def _find(module: ModuleType) -> Bindings:
    name = module.__name__
    if sys.implementation.name != "cpython":
        raise TapUnavailableError(
            f"{name} of {sys.implementation.name} can't be tapped: expected CPython; run the subject with CPython"
        )
    tried: list[str] = []
    for label, library in _candidates(module):
        try:
            bindings = Bindings(library, label)
        except AttributeError:
            tried.append(f"{label}: no SQLite symbols")
            continue
        bindings.initialize()
        if bindings.version != module.sqlite_version:
            tried.append(f"{label}: SQLite {bindings.version}, expected {module.sqlite_version}")
        elif not _is_used_by(bindings, module):
            tried.append(f"{label}: not the one that {name} uses")
        else:
            return bindings
    raise TapUnavailableError(
        f"the SQLite {module.sqlite_version} behind {name} can't be tapped ({'; '.join(tried) or 'not found'}): "
        "it is probably linked in statically; use a Python with a shared libsqlite3"
    )


def _candidates(module: ModuleType) -> list[tuple[str, ctypes.CDLL]]:
    """Libraries to try, best first. None is loaded that was not loaded before."""
    extension = sys.modules.get(f"{module.__name__}._sqlite3") or sys.modules.get("_sqlite3")
    path = getattr(extension, "__file__", None)
    found: list[tuple[str, ctypes.CDLL]] = []
    if sys.platform == "win32":
        get_handle = ctypes.windll.kernel32.GetModuleHandleW
        get_handle.restype, get_handle.argtypes = P, (ctypes.c_wchar_p,)
        for name in (*_WINDOWS_NAMES, path):
            handle = get_handle(name) if name else None
            if handle:
                found.append((str(name), ctypes.CDLL(str(name), handle=handle)))
        return found
    if path:
        # dlsym on a handle looks in that object and in what it was linked with: exactly what it uses itself.
        found.append((os.path.basename(path), ctypes.CDLL(path)))
    else:
        found.append(("the interpreter itself", ctypes.CDLL(None)))
    return found


def _is_used_by(bindings: Bindings, module: ModuleType) -> bool:
    """Whether `module.connect` sees a VFS that was registered in this library."""
    default = bindings.find_vfs(None)
    if not default:
        return False
    seen: list[bool] = []
    memory = ctypes.create_string_buffer(VFS_V3_BYTES)
    size = VFS_V3_BYTES if Vfs.from_address(default).iVersion >= 3 else ctypes.sizeof(Vfs)
    ctypes.memmove(memory, default, size)
    probe = Vfs.from_buffer(memory)
    name = ctypes.create_string_buffer(_PROBE.encode())
    probe.pNext, probe.zName = None, ctypes.addressof(name)

    def refuse(_vfs: int, _name: int, file: int, _flags: int, _out: int) -> int:
        Slot(file).value = 0
        seen.append(True)
        return CANTOPEN

    callback = ctypes.CFUNCTYPE(*VFS_METHODS[Operation.OPEN][1])(refuse)
    probe.xOpen = address_of(callback)
    if bindings.register_vfs(ctypes.addressof(memory), 0) != 0:
        return False
    try:
        module.connect(f"file:crashlab-probe?vfs={_PROBE}", uri=True).close()
    except module.Error:
        pass
    finally:
        bindings.unregister_vfs(ctypes.addressof(memory))
    return bool(seen)
