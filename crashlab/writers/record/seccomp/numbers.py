"""System call numbers, for the machines on which a program can be recorded at the system call level.

From `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h` of Linux; audit
architectures from `include/uapi/linux/audit.h`. All of them are 64-bit and little-endian.
"""

from typing import NamedTuple

__all__ = ["MACHINES", "Machine"]


class Machine(NamedTuple):
    """One kind of machine: the architecture that a filter sees, numbers of calls that we make, and of those by name."""

    audit: int
    seccomp: int
    kcmp: int
    numbers: dict[str, int]


_SAME = {"clone3": 435, "io_uring_setup": 425, "openat2": 437}

_X86_64 = {
    "write": 1, "open": 2, "mmap": 9, "mprotect": 10, "ioctl": 16, "pwrite64": 18, "writev": 20, "sendfile": 40,
    "clone": 56, "execve": 59, "exit": 60, "fcntl": 72, "flock": 73,
    "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77, "rename": 82,
    "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "umask": 95, "setuid": 105,
    "setreuid": 113, "setresuid": 117, "setfsuid": 122, "mknod": 133, "pivot_root": 155, "chroot": 161, "mount": 165,
    "io_setup": 206, "exit_group": 231, "openat": 257, "mkdirat": 258, "mknodat": 259, "unlinkat": 263, "renameat": 264,
    "linkat": 265, "symlinkat": 266, "unshare": 272, "splice": 275, "fallocate": 285, "pwritev": 296,
    "open_by_handle_at": 304, "setns": 308, "renameat2": 316, "execveat": 322, "copy_file_range": 326, "pwritev2": 328,
    "pkey_mprotect": 329, **_SAME,
}  # fmt: skip

_AARCH64 = {
    "io_setup": 0, "fcntl": 25, "ioctl": 29, "flock": 32,
    "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37,
    "renameat": 38, "mount": 40, "pivot_root": 41, "truncate": 45, "ftruncate": 46, "fallocate": 47, "chroot": 51,
    "openat": 56, "write": 64, "writev": 66, "pwrite64": 68, "pwritev": 70, "sendfile": 71, "splice": 76, "fsync": 82,
    "fdatasync": 83, "exit": 93, "exit_group": 94, "unshare": 97, "setreuid": 145, "setuid": 146,
    "setresuid": 147, "setfsuid": 151, "umask": 166, "clone": 220, "execve": 221, "mmap": 222, "mprotect": 226,
    "open_by_handle_at": 265, "setns": 268, "renameat2": 276, "execveat": 281, "copy_file_range": 285, "pwritev2": 287,
    "pkey_mprotect": 288, **_SAME,
}  # fmt: skip

MACHINES = {
    "x86_64": Machine(0xC000003E, 317, 312, _X86_64),
    "aarch64": Machine(0xC00000B7, 277, 272, _AARCH64),
}
"""By the name that `platform.machine()` gives."""
