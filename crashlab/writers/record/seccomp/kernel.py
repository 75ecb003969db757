"""The kernel's calls that the recorder needs and the standard library doesn't have, by ctypes.

`seccomp_unotify(2)`, `pidfd_getfd(2)`, `process_vm_readv(2)`. Everything here is Linux only and raises OSError.
"""

import ctypes
import errno
import fcntl
import os
import platform
import signal
import struct

from crashlab.writers.record.seccomp.numbers import MACHINES
from crashlab.writers.record.seccomp.program import filter_program

__all__ = [
    "NOTIFICATION",
    "GuardedError",
    "Listener",
    "Memory",
    "adopt_orphans",
    "install_filter",
    "is_same_file",
    "signal_with_parent",
    "take_descriptor",
]

NOTIFICATION = struct.Struct("<QIIiIQ6Q")
"""id, thread, flags, call, architecture, instruction pointer, six arguments (`struct seccomp_notif`)."""

NOTIFICATION_BYTES = NOTIFICATION.size
_NO_NOTIFICATION = bytes(NOTIFICATION_BYTES)
_REPLY = struct.Struct("<QqiI")
_ADD = struct.Struct("<QIIII")
_RECEIVE, _SEND, _ADD_DESCRIPTOR, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40182103, 0x40082104
_SYNC_WAKE_UP = 1
_CONTINUE = 1
_ADD_AND_SEND = 1 << 1
_SET_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_PIDFD_GETFD = 438
_PAGE = 4096
PATH_MAX = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_ioctl = _libc.ioctl
_ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_getfd = ctypes.CDLL(None, use_errno=True).syscall
_getfd.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_uint)
_getfd.restype = ctypes.c_long

_kcmp = ctypes.CDLL(None).syscall
_kcmp.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong)
_kcmp.restype = ctypes.c_long
_KCMP = MACHINES[platform.machine()].kcmp


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_ulong), ("bytes", ctypes.c_ulong))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


class GuardedError(OSError):
    """A process that nobody may look into: it changed its user, or made itself undumpable."""


def _raise(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def _raise_of_other(what: str) -> OSError:
    number = ctypes.get_errno()
    return (GuardedError if number == errno.EPERM else OSError)(number, f"{what}: {os.strerror(number)}")


def signal_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent's thread ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that each can be reaped."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0):
        raise _raise("prctl(PR_SET_CHILD_SUBREAPER)")


def install_filter() -> int:
    """Put this process and all that it starts under the filter; return the listener's descriptor.

    Once a call was handed to the listener only SIGKILL interrupts the wait (Linux 5.19): a call that was
    interrupted and begun again would be done twice.
    """
    machine = MACHINES[platform.machine()]
    code = ctypes.create_string_buffer(program := filter_program(machine), len(program))
    filled = _Program(len(program) // 8, ctypes.addressof(code))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0):
        raise _raise("prctl(PR_SET_NO_NEW_PRIVS)")
    found = _syscall(
        ctypes.c_long(machine.seccomp), ctypes.c_ulong(_SET_FILTER), ctypes.c_ulong(_NEW_LISTENER | _WAIT_KILLABLE),
        ctypes.byref(filled),
    )  # fmt: skip
    if found < 0:
        raise _raise("seccomp(SECCOMP_SET_MODE_FILTER)")
    return int(found)


def take_descriptor(process: int, descriptor: int) -> int:
    """Return a descriptor of our own for the open file that another process has as `descriptor`."""
    found = _getfd(_PIDFD_GETFD, process, descriptor, 0)
    if found < 0:
        raise _raise_of_other(f"pidfd_getfd of descriptor {descriptor}")
    return int(found)


def is_same_file(one: int, other: int, descriptor: int, theirs: int) -> bool:
    """Whether two processes' descriptors stand for one open file; false where the kernel does not say."""
    return not _kcmp(_KCMP, one, other, 0, descriptor, theirs)


class Listener:
    """The listener's end: takes notifications, answers them."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # By `fcntl.ioctl` with a bytearray, which costs half of a call by ctypes.
        self._notification = bytearray(NOTIFICATION_BYTES)
        self._reply = bytearray(_REPLY.size)
        _ioctl(descriptor, _SET_FLAGS, _SYNC_WAKE_UP)  # Linux 6.6; without it the answer is the same, only later

    def receive(self) -> tuple[int, ...] | None:
        """Wait for the next call (see `NOTIFICATION`); None after a signal, or when the caller is gone."""
        notification = self._notification
        notification[:] = _NO_NOTIFICATION  # the kernel insists
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, notification)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.ENOENT):
                return None
            raise
        return NOTIFICATION.unpack(notification)

    def go_on(self, call: int) -> None:
        """Let the kernel do the call as it is."""
        _REPLY.pack_into(self._reply, 0, call, 0, 0, _CONTINUE)
        self._send(self._reply)

    def answer(self, call: int, result: int) -> None:
        """End the call: a result, or a negative errno."""
        if result < 0:
            _REPLY.pack_into(self._reply, 0, call, 0, result, 0)
        else:
            _REPLY.pack_into(self._reply, 0, call, result, 0, 0)
        self._send(self._reply)

    def answer_with(self, call: int, descriptor: int, *, close_on_exec: bool) -> None:
        """End the call with a copy of our `descriptor`, put among the caller's."""
        raw = ctypes.create_string_buffer(
            _ADD.pack(call, _ADD_AND_SEND, descriptor, 0, os.O_CLOEXEC if close_on_exec else 0), _ADD.size
        )
        # A signal in the middle would end the call without giving the descriptor (`seccomp_notify_addfd` in the
        # kernel's seccomp.c has marked it as replied by then).
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            failed = _ioctl(self.descriptor, _ADD_DESCRIPTOR, ctypes.addressof(raw)) < 0
            number = ctypes.get_errno()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if failed and number != errno.ENOENT:
            self.answer(call, -number)  # too many descriptors there: the call is ours again

    def answer_from_thread(self, call: int, result: int) -> None:
        """End the call with 0 or a negative errno, from any thread."""
        self._send(bytearray(_REPLY.pack(call, 0, result, 0)))

    def _send(self, reply: bytearray) -> None:
        while True:
            try:
                fcntl.ioctl(self.descriptor, _SEND, reply)
                return
            except InterruptedError:
                continue
            except FileNotFoundError:
                return  # killed meanwhile


class Memory:
    """Another process's memory."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._size = 1 << 16
        self._buffer = ctypes.create_string_buffer(self._size)
        self._view = memoryview(self._buffer).cast("B")
        self._local, self._remote = _IoVec(), _IoVec()
        self._local_ref, self._remote_ref = ctypes.byref(self._local), ctypes.byref(self._remote)
        self._local.base = ctypes.addressof(self._buffer)
        self._readv, self._writev = _libc.process_vm_readv, _libc.process_vm_writev
        for function in (self._readv, self._writev):
            function.argtypes = (
                ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong,
            )  # fmt: skip
            function.restype = ctypes.c_ssize_t

    def read(self, thread: int, address: int, count: int) -> bytes:
        """Return `count` bytes, or those up to the first that can't be read.

        Raises:
            OSError: nothing can be read there (EFAULT), the process is gone (ESRCH) or guarded (EPERM).
        """
        if not count:
            return b""
        if count > self._size:
            self._grow(count)
        self._local.bytes = self._remote.bytes = count
        self._remote.base = address
        got = self._readv(thread, self._local_ref, 1, self._remote_ref, 1, 0)
        if got < 0:
            raise _raise_of_other("process_vm_readv")
        return self._view[:got].tobytes()

    def _grow(self, count: int) -> None:
        self._size = count
        self._buffer = ctypes.create_string_buffer(count)
        self._view = memoryview(self._buffer).cast("B")
        self._local.base = ctypes.addressof(self._buffer)

    def write(self, thread: int, address: int, data: bytes) -> None:
        """Store bytes in a process's memory."""
        self._view[: len(data)] = data
        self._local.bytes = self._remote.bytes = len(data)
        self._remote.base = address
        if self._writev(thread, self._local_ref, 1, self._remote_ref, 1, 0) != len(data):
            raise _raise_of_other("process_vm_writev")

    def text(self, thread: int, address: int) -> bytes:
        """Return the bytes up to the first NUL, as a path is given."""
        found = b""
        while len(found) < PATH_MAX:
            found += self.read(thread, address + len(found), _PAGE - (address + len(found)) % _PAGE)
            end = found.find(b"\0")
            if end >= 0:
                return found[:end]
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def buffers(self, thread: int, address: int, count: int) -> bytes:
        """Return the bytes of an array of `count` buffers (`struct iovec`), joined."""
        if count > 1024:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        raw = self.read(thread, address, 16 * count)
        if len(raw) < 16 * count:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        parts = []
        room = self.bytes_max
        for base, size in struct.iter_unpack("<QQ", raw):
            part = self.read(thread, base, min(size, room)) if size else b""
            parts.append(part)
            room -= len(part)
            if len(part) < size:
                break
        return b"".join(parts)
