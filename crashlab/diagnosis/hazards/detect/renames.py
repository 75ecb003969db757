"""Files renamed beside a live database whose directory nobody syncs: MECHANISMS E3."""

import os
from typing import Any, NamedTuple

from crashlab.diagnosis.hazards.detect.files import resolved
from crashlab.diagnosis.hazards.hazard import Frame
from crashlab.diagnosis.hazards.scene import Detector, Handler
from crashlab.diagnosis.hazards.stack import user_stack

PENDING_MAX = 1000


class _Rename(NamedTuple):
    database: str
    new: str
    stack: tuple[Frame, ...]
    context: str


class RenameDetector(Detector):
    """`unsynced-rename`: no directory was opened after a rename into it, so none can have been synced.

    A sync itself is announced by nobody. A directory that was opened counts as synced.
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self._pending: dict[str, dict[Any, _Rename]] = {}

    def audits(self) -> dict[str, Handler]:
        """Renames, and directories opened."""
        return {"os.rename": self._rename, "open": self._open}

    def _rename(self, arguments: tuple[Any, ...]) -> None:
        databases = self.scene.registry.open_databases()
        if not databases:
            return
        target = resolved(arguments[1], arguments[3] if len(arguments) > 3 else -1)
        source = resolved(arguments[0], arguments[2] if len(arguments) > 2 else -1)
        if not target or any(name and self.scene.registry.find(name)[0] for name in (source, target)):
            return  # a file of the database itself: that is worse, and told by another
        directory = os.path.realpath(os.path.dirname(target) or ".")
        database = next((each for each in databases if os.path.dirname(each.path) == directory), None)
        if database is None or sum(map(len, self._pending.values())) >= PENDING_MAX:
            return
        stack = user_stack()
        at = self._pending.setdefault(directory, {})
        at[stack[:1]] = _Rename(database.path, os.path.basename(target), stack, self.scene.context)

    def _open(self, arguments: tuple[Any, ...]) -> None:
        if not self._pending:
            return
        path = arguments[0]
        if isinstance(path, str | bytes | os.PathLike) and os.path.isdir(path):
            self._pending.pop(os.path.realpath(os.fsdecode(path)), None)

    def forked(self) -> None:
        """The parent tells of its own."""
        self._pending.clear()

    def rest(self) -> None:
        """Nobody did it while this test lasted."""
        pending, self._pending = self._pending, {}
        for directory in pending.values():
            for each in directory.values():
                self.scene.report(
                    "unsynced-rename",
                    each.database,
                    f"a file was renamed to {each.new!r} beside it; the directory was not opened since, so not synced",
                    stack=each.stack,
                    context=each.context,
                )
