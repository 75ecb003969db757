"""What goes past the replacements is noticed by an audit hook, and makes the recording void.

A function that kept the real `os.replace` as a default argument, a C extension that calls `PyOS_…`, a memory
map that can be written: the interpreter announces them all (https://docs.python.org/3/library/audit_events.html),
without the bytes. Programs in other processes and C code that calls the system itself are announced by nobody.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crashlab.writers.record.ledger import Ledger

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_MAP_DEFAULT, _MAP_WRITE = 0, 2  # mmap.ACCESS_*


class BypassHook:
    """Notices changes to recorded files that are not under way inside a replacement. Off after `stop`.

    One audit hook serves all of them, since none can be removed; without any it returns at once.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._checks: dict[str, Callable[[tuple[Any, ...]], None]] = {
            "open": self._open,
            "os.rename": self._rename,
            "os.remove": self._remove,
            "os.truncate": self._truncate,
            "mmap.__new__": self._map,
        }

    def start(self) -> None:
        """Begin to notice."""
        _noticing.append(self)
        _hook_once()

    def stop(self) -> None:
        """Notice no more."""
        if self in _noticing:
            _noticing.remove(self)

    def notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one audit event."""
        check = self._checks.get(event)
        if check is not None and not self._ledger.inside.depth:
            check(arguments)

    def _name(self, path: Any, dir_fd: int | None = None) -> str | None:
        if isinstance(path, int) or path is None:
            return None
        if dir_fd is not None and dir_fd >= 0:
            return self._ledger.name_of(path, dir_fd)
        return self._ledger.name_of(path)

    def _tell(self, what: str, name: str) -> None:
        self._ledger.problem(f"{name!r} {what} by a function that is not replaced")

    def _open(self, arguments: tuple[Any, ...]) -> None:
        path, _mode, flags = arguments
        if not isinstance(flags, int) or not flags & _WRITES:
            return
        name = self._name(path)
        if name is not None and not os.path.isdir(path):  # noqa: PTH112 - any kind of path
            self._tell("was opened for writing", name)

    def _rename(self, arguments: tuple[Any, ...]) -> None:
        old, new, *directories = arguments
        first, second = (*directories, -1, -1)[:2]
        for name in (self._name(old, first), self._name(new, second)):
            if name is not None:
                self._tell("was renamed", name)
                return

    def _remove(self, arguments: tuple[Any, ...]) -> None:
        path, directory = (*arguments, -1)[:2]
        name = self._name(path, directory)
        if name is not None:
            self._tell("was removed", name)

    def _truncate(self, arguments: tuple[Any, ...]) -> None:
        path = arguments[0]
        name = self._ledger.find(path).name if isinstance(path, int) else self._name(path)
        if name is not None:
            self._tell("was truncated", name)

    def _map(self, arguments: tuple[Any, ...]) -> None:
        descriptor, _length, access = arguments[:3]
        if descriptor < 0 or access not in (_MAP_DEFAULT, _MAP_WRITE):
            return
        name = self._ledger.find(descriptor).name
        if name is not None:
            self._ledger.problem(f"{name!r} was mapped for writing; what is written to a map is not recorded")


# An audit hook cannot be removed, and each one more makes every audited call slower: one serves them all.
_noticing: list[BypassHook] = []
_hooked: list[bool] = []


def _hook_once() -> None:
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_dispatch)


def _dispatch(event: str, arguments: tuple[Any, ...]) -> None:
    for bypass in _noticing:
        bypass.notice(event, arguments)
