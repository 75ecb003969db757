"""The lab's own scratch directory: on tmpfs where there is one, always removed, never shared."""

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import psutil

from crashlab.errors import LimitError, UsageError

PREFIX = "crashlab-"
LOCK = "owner.lock"
"""Locked for as long as the owner lives: a process number means nothing in another container's namespace."""

FREE_BYTES_MIN = 64 << 20
_TMPFS = "/dev/shm"


try:
    import fcntl
except ImportError:  # Windows: there process numbers alone tell, and they are the machine's
    fcntl = None  # type: ignore[assignment]


class Workspace:
    """A directory of this process, removed on exit; a context manager.

    Raises:
        LimitError: the file system has less than `FREE_BYTES_MIN` free.
        UsageError: it cannot be written.
    """

    def __init__(self, base: str | None = None) -> None:
        self.base = base or _fastest_base()
        _sweep(self.base)
        try:
            self.root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=self.base))
        except OSError as error:
            raise UsageError(
                f"the lab cannot make a directory in {self.base} ({error.strerror}); point --workspace elsewhere"
            ) from None
        self._pid = os.getpid()
        self._numbers = itertools.count()
        self._lock = -1
        try:
            self.check_room()
            self._lock = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            _lock(self._lock)
        except BaseException:
            self.close()
            raise

    def check_room(self) -> None:
        """Raise LimitError if the lab's own disk is nearly full: a stop reason, not a finding."""
        try:
            free = shutil.disk_usage(self.base).free
        except OSError as error:
            raise UsageError(f"the lab cannot look at {self.base}: {error.strerror}") from None
        if free < FREE_BYTES_MIN:
            raise LimitError(
                f"the lab's own disk {self.base} has {free >> 20} MiB free, {FREE_BYTES_MIN >> 20} MiB are needed; "
                "free some space or point --workspace elsewhere"
            )

    def make_run(self) -> Path:
        """Make and return a new directory for one run; safe for threads, and for several roads at once."""
        directory = self.root / f"run{next(self._numbers)}"
        directory.mkdir()
        return directory

    def close(self) -> None:
        """Remove the directory and all in it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if os.getpid() == self._pid:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _fastest_base() -> str:
    if sys.platform.startswith("linux") and os.access(_TMPFS, os.W_OK | os.X_OK):
        with contextlib.suppress(OSError):
            if shutil.disk_usage(_TMPFS).free >= 4 * FREE_BYTES_MIN:
                return _TMPFS
    return tempfile.gettempdir()


def _sweep(base: str) -> None:
    """Remove what a lab that was itself killed has left: directories whose owner no longer lives."""
    for entry in Path(base).glob(f"{PREFIX}*-*"):
        owner = entry.name[len(PREFIX) :].partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)) and not _owned(entry):
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == os.getuid() if hasattr(os, "getuid") else True:
                    shutil.rmtree(entry, ignore_errors=True)


def _lock(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _owned(directory: Path) -> bool:
    """True if somebody whose process number we cannot see holds the directory."""
    try:
        with open(directory / LOCK, "rb") as file:
            _lock(file.fileno())
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
