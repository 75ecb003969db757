"""Which files of a run's directory are recorded, and what they are called in the log."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LABS_OWN_BEGIN = (".crashlab-signal.", "replayed/")
_CACHED_MAX = 4096


def is_labs_own(name: str) -> bool:
    """Whether a file of a run's directory (a name relative to it, with `/`) is the lab's and not the program's."""
    first, _, rest = name.partition(".")
    if first == "stderr":
        return rest.isdecimal()
    if first == "log":  # a process's, its forks', and the segment's number
        processes, _, segment = rest.rpartition(".")
        numbers = (segment.removeprefix("copy"), *processes.split("-fork"))
        return (len(segment) == 4 or segment.startswith("copy")) and all(part.isdecimal() for part in numbers)
    return name.startswith(_LABS_OWN_BEGIN)


class Names:
    """Paths as the program gives them, to names relative to the run's directory.

    The part before the last `/` is resolved, as the kernel does, and remembered: resolving costs more than
    a small write. A link among the directories that is changed later is not noticed.
    """

    def __init__(self, directory: str) -> None:
        self.directory = os.path.realpath(directory)
        self._prefixes: dict[str, str | None] = {}

    def relative(self, path: Any, within: str | None = None) -> str | None:
        """Return the name of a recorded file, `.` for the directory itself, None for what is not recorded.

        `within`: the directory that a relative path starts from, when it is not the current one.
        """
        try:
            text = os.fsdecode(path)
        except TypeError:
            return None
        if within is not None:
            text = os.path.join(within, text)
        full = os.path.abspath(text)  # noqa: PTH100 - a Path costs as much as a small write
        parent, name = os.path.split(full)
        if parent not in self._prefixes:
            self._remember(parent)
        prefix = self._prefixes[parent]
        if prefix is None:
            same = name == os.path.basename(self.directory) and os.path.realpath(full) == self.directory
            return "." if same else None
        found = prefix + name
        return None if found.endswith("-shm") or is_labs_own(found) else found

    def _remember(self, parent: str) -> None:
        if len(self._prefixes) >= _CACHED_MAX:
            self._prefixes.clear()
        resolved = os.path.realpath(parent)
        mine, theirs = os.path.normcase(self.directory), os.path.normcase(resolved)
        if theirs == mine:
            self._prefixes[parent] = ""
        elif theirs.startswith(os.path.join(mine, "")):
            inner = resolved[len(self.directory) :].strip(os.sep)
            self._prefixes[parent] = inner.replace(os.sep, "/") + "/"
        else:
            self._prefixes[parent] = None


def path_of_descriptor(descriptor: int) -> str | None:
    """Return the path that a descriptor has now, where the system tells."""
    if sys.platform.startswith("linux"):
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - it may be no path
        except OSError:
            return None
        return None if path.endswith(" (deleted)") or not path.startswith("/") else path
    if sys.platform == "darwin":
        import fcntl

        try:
            raw: bytes = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
        except OSError:
            return None
        return os.fsdecode(raw.rstrip(b"\0"))
    return None
