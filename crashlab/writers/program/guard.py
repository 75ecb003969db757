"""Nothing of the user's is touched: what a program changes outside its private copy is refused, and told by name.

Python's own file functions announce what they are about to do (https://docs.python.org/3/library/audit_events.html);
SQLite's opens pass through the tap. A program that is no Python is seen by neither.
"""

from __future__ import annotations

import errno
import os
import sys

from crashlab.log.trace import Role
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.operation import Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crashlab.sqlite.tap.call import Call
    from crashlab.writers.program.spool import Spool

CANTOPEN = 14
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_DEVICES = ("/dev/null", "/dev/tty", "/dev/stdout", "/dev/stderr", "/dev/pts/", "/dev/fd/", "/dev/ptmx", "/proc/")


class Guard(Listener):
    """Refuses; `roots` are the directories in which the program may do as it likes, the first one is its copy."""

    operations = frozenset({Operation.OPEN})

    def __init__(self, roots: tuple[str, ...], spool: Spool) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)
        self._prefixes = tuple(os.path.join(root, "") for root in self._roots)
        self._spool = spool
        self._told: set[str] = set()
        self._checks: dict[str, Callable[[tuple[Any, ...]], None]] = {
            "open": self._open,
            "os.remove": lambda told: self._path(told[0], "removed", told[-1]),
            "os.rmdir": lambda told: self._path(told[0], "removed", told[-1]),
            "os.truncate": lambda told: self._path(told[0], "truncated"),
            "os.mkdir": self._mkdir,
            "os.rename": self._rename,
            "os.link": lambda told: self._path(told[1], "made", told[3]),
            "os.symlink": lambda told: self._path(told[1], "made", told[2]),
        }

    def start(self) -> None:
        """Begin; there is no end, an audit hook cannot be removed."""
        sys.addaudithook(self._notice)

    def before(self, call: Call) -> int | None:
        """Refuse a database that is outside."""
        file = call.file
        if file is None or not file.name or file.role is not Role.MAIN:
            return None
        path = os.path.realpath(file.name)
        if not self._inside(path):
            self._tell("refused", path, "opened as a database")
            return CANTOPEN
        if not path.startswith(self._prefixes[0]):
            self._tell("untracked", path, "opened as a database")
        return None

    def _notice(self, event: str, told: tuple[Any, ...]) -> None:
        check = self._checks.get(event)
        if check is not None:
            check(told)

    def _inside(self, path: str) -> bool:
        return path in self._roots or path.startswith(self._prefixes) or path.startswith(_DEVICES)

    def _open(self, told: tuple[Any, ...]) -> None:
        path, _mode, flags = told
        if isinstance(flags, int) and flags & _WRITES:
            self._path(path, "opened for writing")

    def _rename(self, told: tuple[Any, ...]) -> None:
        self._path(told[0], "renamed", told[2])
        self._path(told[1], "made", told[3])

    def _mkdir(self, told: tuple[Any, ...]) -> None:
        if not os.path.isdir(told[0]):  # noqa: PTH112 - any kind of path
            self._path(told[0], "made", told[-1])

    def _path(self, path: Any, what: str, directory: Any = -1) -> None:
        if path is None or isinstance(path, int):
            return
        text = os.fsdecode(path)
        if isinstance(directory, int) and directory >= 0 and not os.path.isabs(text):  # noqa: PTH117
            return  # relative to a directory that the program could only open inside
        # The last part is not followed for a removal, but a link that leads out is not ours to judge more finely.
        real = os.path.realpath(text)
        if not self._inside(real):
            self._tell("refused", real, what)
            raise PermissionError(errno.EACCES, "crashlab: outside the private copy, not touched", text)

    def _tell(self, key: str, path: str, what: str) -> None:
        if path not in self._told:
            self._told.add(path)
            self._spool.tell({key: path, "what": what})
