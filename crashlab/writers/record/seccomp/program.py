"""The filter program: which system calls stop and are answered by the lab, decided in the kernel.

Everything that cannot change a file goes on at full speed: reads, locks, opens for reading, private maps.
What could write to a file unseen is answered by the filter itself, as an older or locked-down kernel does, so
that programs fall back: `clone3` and 64-bit calls of the x32 kind by ENOSYS, shared extents (FICLONE) by EOPNOTSUPP.
"""

import errno
import os
import struct

from crashlab.writers.record.seccomp.numbers import Machine

__all__ = ["CHANGING_FLAGS", "filter_program"]

CHANGING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""An open without any of these changes nothing."""

_ALLOW, _NOTIFY, _ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
_X32 = 0x40000000
_NEW_MOUNTS = 0x00020000
_F_SETFL, _F_OFD_SETLK, _F_OFD_SETLKW = 4, 37, 38
_FICLONE, _FICLONERANGE = 0x40049409, 0x4020940D
_MAP_ANONYMOUS, _MAP_SHARED, _PROT_WRITE = 0x20, 0x01, 0x02  # MAP_SHARED_VALIDATE has MAP_SHARED's bit
_INS = struct.Struct("<HBBI")

_BITS = {
    "open": (1, CHANGING_FLAGS),
    "openat": (2, CHANGING_FLAGS),
    "mprotect": (2, _PROT_WRITE),
    "pkey_mprotect": (2, _PROT_WRITE),
    "clone": (0, _NEW_MOUNTS),
}
"""Calls that stop only with one of these bits in the low half of this argument."""


def filter_program(machine: Machine) -> bytes:
    """Return the program for `seccomp(2)`; see https://docs.kernel.org/userspace-api/seccomp_filter.html.

    A call of another architecture (a 32-bit program) stops too: the listener refuses it by name.
    """
    numbers = machine.numbers
    code = [_ins(_LOAD, _ARCH), _ins(_EQUAL, machine.audit, 1, 0), _ins(_RETURN, _NOTIFY), _ins(_LOAD, _NR)]
    if "open" in numbers:  # only x86 has another set of calls under one architecture
        code += [_ins(_AT_LEAST, _X32, 0, 1), _ins(_RETURN, _ERRNO | errno.ENOSYS)]
    for name, number in numbers.items():
        body = _body(name)
        code += [_ins(_EQUAL, number, 0, len(body)), *body]
    code.append(_ins(_RETURN, _ALLOW))
    return b"".join(code)


def _body(name: str) -> list[bytes]:
    """What is done about one call, once its number is known; every way ends with a return."""
    allow, notify = _ins(_RETURN, _ALLOW), _ins(_RETURN, _NOTIFY)
    if name == "clone3":
        return [_ins(_RETURN, _ERRNO | errno.ENOSYS)]
    if name == "ioctl":
        refuse = _ins(_RETURN, _ERRNO | errno.EOPNOTSUPP)
        return [_arg(1), _ins(_EQUAL, _FICLONE, 1, 0), _ins(_EQUAL, _FICLONERANGE, 0, 1), refuse, allow]
    if name == "mmap":
        return [_arg(3), _ins(_ANY_BIT, _MAP_ANONYMOUS, 1, 0), _ins(_ANY_BIT, _MAP_SHARED, 1, 0), allow, notify]
    if name == "fcntl":
        kinds = (_F_SETFL, _F_OFD_SETLK, _F_OFD_SETLKW)
        return [_arg(1), *(_ins(_EQUAL, kind, len(kinds) - at, 0) for at, kind in enumerate(kinds)), allow, notify]
    if name in _BITS:
        argument, bits = _BITS[name]
        return [_arg(argument), _ins(_ANY_BIT, bits, 1, 0), allow, notify]
    return [notify]


def _arg(index: int) -> bytes:
    return _ins(_LOAD, _ARGS + 8 * index)


def _ins(code: int, value: int, when: int = 0, otherwise: int = 0) -> bytes:
    """One instruction: code, jump if true, jump if false, operand."""
    return _INS.pack(code, when, otherwise, value & 0xFFFFFFFF)
