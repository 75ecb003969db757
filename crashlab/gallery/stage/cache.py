"""Files that take long to make and are always the same: made once, kept in the user's cache directory, copied.

The directory is ``$CRASHLAB_CACHE``, else ``$XDG_CACHE_HOME/crashlab``, else ``~/.cache/crashlab``
(https://specifications.freedesktop.org/basedir-spec/latest/). One file is kept of each family; its checksum
is compared before every use, so a damaged one is made anew and never used.
"""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from crashlab.errors import LabError, LimitError

__all__ = ["CACHE_VARIABLE", "cache_directory", "copy_cached"]

CACHE_VARIABLE = "CRASHLAB_CACHE"
LOCK_S_MAX = 180.0
_FICLONE = 0x40049409
"""Linux: let a file share another's blocks (ioctl_ficlone(2)); only some file systems can."""


def cache_directory() -> Path:
    """Return the directory, made if it is not there. Raises LabError if it cannot be made."""
    own, xdg = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME")
    directory = Path(own) if own else (Path(xdg) if xdg else Path.home() / ".cache") / "crashlab"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"no cache in {directory} ({error.strerror}); point {CACHE_VARIABLE} elsewhere") from None
    return directory


def copy_cached(family: str, version: int, build: Callable[[Path], None], target: Path, *, bytes_max: int) -> None:
    """Copy the cached file of a family to `target`, making it first if this version is not there, or is damaged.

    `build(path)` makes the file; it is called by one process at a time. Other versions of the family are removed.

    Raises:
        LabError: the directory cannot be used, or another process has been at it for too long.
        LimitError: there is no room for the file, or it came out larger than `bytes_max`.
    """
    directory = cache_directory()
    path = directory / f"{family}-{version}"
    with _locked(directory / f"{family}.lock"):
        if not _is_whole(path):
            _make(family, path, build, bytes_max)
        _copy(path, target)


def _make(family: str, path: Path, build: Callable[[Path], None], bytes_max: int) -> None:
    for old in path.parent.glob(f"{family}-*"):
        old.unlink()
    free = shutil.disk_usage(path.parent).free
    if free < 2 * bytes_max:
        raise LimitError(
            f"{path.parent} has {free >> 20} MiB free, {2 * bytes_max >> 20} MiB are needed; "
            f"point {CACHE_VARIABLE} elsewhere"
        )
    part = path.with_name(f"{path.name}.part")
    try:
        build(part)
        size = part.stat().st_size
        if size > bytes_max:
            raise LimitError(f"{path.name} came out at {size} bytes, at most {bytes_max} were expected")
        _checksum_of(path).write_text(_digest(part))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    try:
        return _checksum_of(path).read_text() == _digest(path)
    except FileNotFoundError:
        return False


def _checksum_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(path: Path, target: Path) -> None:
    """Share the blocks where the file system can, else let the kernel copy."""
    with contextlib.suppress(ImportError, OSError), open(path, "rb") as source, open(target, "xb") as copy:
        import fcntl

        fcntl.ioctl(copy, _FICLONE, source.fileno())
        return
    shutil.copyfile(path, target)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with open(path, "w") as file:
        end = time.monotonic() + LOCK_S_MAX
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise LabError(f"another process has held {path} for {LOCK_S_MAX:.0f} s") from None
                time.sleep(0.05)
        yield
