"""The functions of `os` that change files, with their records."""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crashlab.writers.record.ledger import Ledger

_CHUNK_BYTES = 8 << 20


def make_calls(ledger: Ledger) -> dict[str, Callable[..., Any]]:
    """Return the replacements of the functions of `os` that this system has, by name."""
    made: dict[str, Callable[..., Any]] = {}
    for make in (_descriptors, _copies, _names):
        made.update(make(ledger))
    return {name: function for name, function in made.items() if hasattr(os, name)}


def _number(file: Any) -> int:
    """A descriptor, or what has one."""
    return file if isinstance(file, int) else int(file.fileno())


def _descriptors(ledger: Ledger) -> dict[str, Callable[..., Any]]:
    """What is done to an open file."""
    real: Any = _Real()

    def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        return ledger.open(path, flags, mode, dir_fd)

    def close(fd: int) -> None:
        ledger.close(fd, lambda: real.close(fd))

    def write(fd: int, data: Any, /) -> int:
        return ledger.write(fd, data, None, lambda exact: real.write(fd, exact))

    def pwrite(fd: int, data: Any, offset: int, /) -> int:
        return ledger.write(fd, data, offset, lambda exact: real.pwrite(fd, exact, offset))

    def writev(fd: int, buffers: Any, /) -> int:
        if ledger.find(fd).name is None:
            return int(real.writev(fd, buffers))
        return ledger.write(fd, b"".join(buffers), None, lambda exact: real.write(fd, exact))

    def pwritev(fd: int, buffers: Any, offset: int, flags: int = 0, /) -> int:
        if ledger.find(fd).name is None:
            return int(real.pwritev(fd, buffers, offset, flags))
        return ledger.write(fd, b"".join(buffers), offset, lambda exact: real.pwritev(fd, [exact], offset, flags))

    def ftruncate(fd: int, length: int) -> None:
        ledger.truncate(fd, length, lambda: real.ftruncate(fd, length))

    def truncate(path: Any, length: int) -> None:
        if isinstance(path, int):
            ftruncate(path, length)
        elif ledger.name_of(path) is None:
            real.truncate(path, length)
        else:
            fd = open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
            try:
                ftruncate(fd, length)
            finally:
                close(fd)

    def posix_fallocate(fd: int, offset: int, length: int, /) -> None:
        if ledger.find(fd).name is None or offset + length <= os.fstat(fd).st_size:
            real.posix_fallocate(fd, offset, length)
        else:
            ledger.truncate(fd, offset + length, lambda: real.posix_fallocate(fd, offset, length))

    def fsync(fd: Any) -> None:
        ledger.sync(_number(fd), lambda: real.fsync(fd))

    def fdatasync(fd: Any) -> None:
        ledger.sync(_number(fd), lambda: real.fdatasync(fd))

    return _taken(locals())


def _copies(ledger: Ledger) -> dict[str, Callable[..., Any]]:
    """Copies inside the kernel, done by hand where the target is recorded: fewer bytes than asked are allowed."""
    real: Any = _Real()

    def take(source: int, count: int, offset: int | None) -> bytes:
        count = min(count, _CHUNK_BYTES)
        return os.read(source, count) if offset is None else os.pread(source, count, offset)

    def put(target: int, data: bytes, offset: int | None) -> int:
        if offset is None:
            return ledger.write(target, data, None, lambda exact: real.write(target, exact))
        return ledger.write(target, data, offset, lambda exact: real.pwrite(target, exact, offset))

    def sendfile(out_fd: int, in_fd: int, offset: int | None, count: int, *more: Any, **kwargs: Any) -> int:
        if ledger.find(out_fd).name is None:
            return int(real.sendfile(out_fd, in_fd, offset, count, *more, **kwargs))
        return put(out_fd, take(in_fd, count, offset), None)

    def copy_file_range(
        src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int:
        if ledger.find(dst).name is None:
            return int(real.copy_file_range(src, dst, count, offset_src, offset_dst))
        return put(dst, take(src, count, offset_src), offset_dst)

    def splice(
        src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None, flags: int = 0
    ) -> int:
        if ledger.find(dst).name is None:
            return int(real.splice(src, dst, count, offset_src, offset_dst, flags))
        return put(dst, take(src, count, offset_src), offset_dst)

    made = _taken(locals())
    del made["take"], made["put"]
    return made


def _names(ledger: Ledger) -> dict[str, Callable[..., Any]]:
    """What is done to names."""
    real: Any = _Real()

    def rename(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        def do() -> None:
            real.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        ledger.rename(src, dst, src_dir_fd, dst_dir_fd, do)

    def replace(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        def do() -> None:
            real.replace(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        ledger.rename(src, dst, src_dir_fd, dst_dir_fd, do)

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        ledger.delete(path, dir_fd, lambda: real.unlink(path, dir_fd=dir_fd))

    def remove(path: Any, *, dir_fd: int | None = None) -> None:
        ledger.delete(path, dir_fd, lambda: real.remove(path, dir_fd=dir_fd))

    def link(src: Any, dst: Any, *, dst_dir_fd: int | None = None, **more: Any) -> None:
        if dst_dir_fd is not None:
            more["dst_dir_fd"] = dst_dir_fd
        real.link(src, dst, **more)
        ledger.linked("os.link", dst, dst_dir_fd)

    def symlink(src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
        real.symlink(src, dst, target_is_directory, dir_fd=dir_fd)
        ledger.linked("os.symlink", dst, dir_fd)

    return _taken(locals())


def make_fcntl(ledger: Ledger) -> Callable[..., Any] | None:
    """Return the replacement of `fcntl.fcntl` where that is how a file is really synced (macOS), else None."""
    if sys.platform == "win32":
        return None
    import fcntl as module

    full = getattr(module, "F_FULLFSYNC", None)
    if full is None:
        return None
    real = module.fcntl

    def fcntl(fd: Any, cmd: int, arg: Any = 0, /) -> Any:
        if cmd != full:
            return real(fd, cmd, arg)
        return ledger.sync(_number(fd), lambda: real(fd, cmd, arg))

    return fcntl


def refuse_fast_copy(*_: object) -> None:
    """Stands for macOS's `_fcopyfile`; `shutil` then copies by reading and writing."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


class _Real:
    """The functions of `os` as they are now, before any is replaced."""

    def __init__(self) -> None:
        vars(self).update({name: value for name, value in vars(os).items() if callable(value)})


def _taken(names: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in names.items() if name not in ("ledger", "real")}
