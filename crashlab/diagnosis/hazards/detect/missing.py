"""What is wrong with the files before SQLite has touched them: MECHANISMS D3, D4."""

import os
from typing import Any, NamedTuple

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.connections import Connection
from crashlab.diagnosis.hazards.detect.files import resolved
from crashlab.diagnosis.hazards.hazard import Frame, Related
from crashlab.diagnosis.hazards.scene import Detector, Handler, text_of
from crashlab.diagnosis.hazards.stack import user_stack

REMEMBERED_MAX = 4096
_WAL_HEADER_BYTES = 32


class _Removal(NamedTuple):
    main: proc.Identity
    size: int
    stack: tuple[Frame, ...]


class MissingDetector(Detector):
    """`wal-deleted`: the program removed a `-wal` and opens its database. `empty-main`: nothing but a `-wal` is left.

    SQLite's own removals are announced by nobody and never alarm. A main file that is removed, replaced or emptied
    as well is a new database, and does not alarm either.
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self._removed: dict[str, _Removal] = {}

    def audits(self) -> dict[str, Handler]:
        """What makes a -wal disappear, and what makes that right."""
        return {
            "os.remove": self._remove,
            "os.rename": self._rename,
            "open": self._open,
            "os.truncate": self._truncate,
        }

    def _gone(self, name: str | None) -> None:
        if not name:
            return
        if not name.endswith("-wal"):
            if self._removed:
                self._removed.pop(os.path.realpath(name), None)
            return
        size = proc.size_of(name)
        main = os.path.realpath(name.removesuffix("-wal"))
        identity = proc.identity_of(main)
        if size > _WAL_HEADER_BYTES and identity is not None and proc.size_of(main) >= 0:
            if len(self._removed) >= REMEMBERED_MAX:
                self._removed.clear()
            self._removed[main] = _Removal(identity, size, user_stack())

    def _remove(self, arguments: tuple[Any, ...]) -> None:
        self._gone(resolved(arguments[0], arguments[1] if len(arguments) > 1 else -1))

    def _rename(self, arguments: tuple[Any, ...]) -> None:
        old, new, *more = arguments
        first, second = (*more, -1, -1)[:2]
        self._gone(resolved(old, first))
        target = resolved(new, second)
        if target and self._removed:
            self._removed.pop(os.path.realpath(target.removesuffix("-wal")), None)

    def _open(self, arguments: tuple[Any, ...]) -> None:
        flags = arguments[2]
        name = text_of(arguments[0]) if self._removed and isinstance(flags, int) else None
        if name and flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):  # restored, main or -wal
            self._removed.pop(os.path.realpath(name.removesuffix("-wal")), None)

    def _truncate(self, arguments: tuple[Any, ...]) -> None:
        name = text_of(arguments[0])
        if name and self._removed:
            self._removed.pop(os.path.realpath(name), None)

    def opened(self, connection: Connection) -> None:
        """Compare with what is there now."""
        path = connection.database.path
        removal = self._removed.pop(path, None) if self._removed else None
        if removal is not None and removal.main == connection.database.identity and proc.size_of(path + "-wal") <= 0:
            self.scene.report(
                "wal-deleted",
                path,
                f"its -wal of {removal.size} bytes was removed by this program, and no connection had closed it",
                stack=removal.stack,
                related=tuple(Related("then the database was opened at", s) for s in (connection.stack,) if s),
            )
        if connection.size == 0:
            size = proc.size_of(path + "-wal")
            if size > _WAL_HEADER_BYTES:
                seen = f"the main file is empty and there is a -wal of {size} bytes"
                self.scene.report("empty-main", path, seen, stack=connection.stack or None)
