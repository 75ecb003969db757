"""Landlock: the kernel refuses writes outside given directories, to any program and to all that it starts.

https://docs.kernel.org/userspace-api/landlock.html . Unprivileged, inherited, never lifted. Version 2 of its
interface (Linux 5.19) is needed: in version 1 no file can be renamed into another directory.
"""

import ctypes
import os
import struct
import sys

from crashlab.errors import LabError

__all__ = ["confine", "confinement_problem"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
_VERSION_MIN = 2

_WRITE, _REMOVE_DIR, _REMOVE_FILE, _MAKE_REG, _REFER, _TRUNCATE = 1 << 1, 1 << 4, 1 << 5, 1 << 8, 1 << 13, 1 << 14
_MAKE = sum(1 << bit for bit in range(6, 13))
_ALL = _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE | _REFER | _TRUNCATE

# Devices; semaphores and shared memory, which libraries keep in files there; what a process says about itself.
_SHARED = {
    "/dev": _WRITE | _TRUNCATE,
    "/dev/shm": _WRITE | _TRUNCATE | _MAKE_REG | _REMOVE_FILE,
    "/proc": _WRITE | _TRUNCATE,
}


def confinement_problem() -> str:
    """Say why this kernel cannot confine a program; '' if it can."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no Landlock"
    version = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if version < 0:
        return "this kernel has no Landlock"
    return "" if version >= _VERSION_MIN else f"this kernel's Landlock is version {version}, {_VERSION_MIN} is needed"


def confine(*directories: str) -> None:
    """Let this thread, and what it starts from now on, write below `directories` alone (and in `_SHARED`).

    Raises:
        LabError: the kernel refuses; ask `confinement_problem` first.
    """
    version = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    known = _ALL if version >= 3 else _ALL & ~_TRUNCATE
    handled = ctypes.create_string_buffer(struct.pack("=Q", known), 8)
    ruleset = _checked(_call(_CREATE_RULESET, handled, ctypes.c_size_t(8), ctypes.c_uint32(0)))
    try:
        for path, allowed in {**dict.fromkeys(directories, _ALL), **_SHARED}.items():
            try:
                parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed & known, parent), 12)
                _checked(_call(_ADD_RULE, ruleset, ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0)))
            finally:
                os.close(parent)
        if ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise LabError("the kernel refuses to confine the program (PR_SET_NO_NEW_PRIVS)")
        _checked(_call(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def _call(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return int(library.syscall(ctypes.c_long(number), *arguments))


def _checked(result: int) -> int:
    if result < 0:
        raise LabError(f"the kernel refuses to confine the program: {os.strerror(ctypes.get_errno())}")
    return result
