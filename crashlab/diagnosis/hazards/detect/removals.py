"""Removing the files of an open database: MECHANISMS A2, D3."""

import os
import shutil
import sys
from typing import Any, NamedTuple

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.connections import Connection, Database
from crashlab.diagnosis.hazards.detect.files import resolved
from crashlab.diagnosis.hazards.hazard import Frame, Related
from crashlab.diagnosis.hazards.scene import Detector, Handler, how_many, opened_at
from crashlab.diagnosis.hazards.seam import Closing
from crashlab.diagnosis.hazards.stack import user_stack

PENDING_MAX = 256
_SHUTIL = os.path.abspath(shutil.__file__)


class _Removal(NamedTuple):
    database: Database
    suffix: str
    seen: str
    stack: tuple[Frame, ...]
    related: tuple[Related, ...]
    context: str
    marks: dict[proc.Identity, tuple[int, int]]


class RemovalDetector(Detector):
    """`removed-while-open`.

    A whole directory that is thrown away with a connection still open in it (a test that tidies up) does no harm as
    long as nothing is written any more, so that is looked at when the connection is closed.
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self._pending: list[_Removal] = []

    def audits(self) -> dict[str, Handler]:
        """Removals."""
        return {"os.remove": self._remove}

    def _remove(self, arguments: tuple[Any, ...]) -> None:
        name = resolved(arguments[0], arguments[1] if len(arguments) > 1 else -1)
        database, suffix = self.scene.registry.find(name) if name else (None, "")
        if database is None:
            return
        seen = f"the {suffix or 'main file'} was removed; {how_many(database)}"
        if not (proc.AVAILABLE and _with_its_directory()):
            self.scene.report("removed-while-open", database.path, seen, related=opened_at(database.opened_here))
            return
        if len(self._pending) >= PENDING_MAX:
            return
        beside = (proc.identity_of(database.path + each) for each in ("-wal", "-journal"))
        marks = proc.marks({database.identity, *(each for each in beside if each)})
        related = opened_at(database.opened_here)
        self._pending.append(_Removal(database, suffix, seen, user_stack(), related, self.scene.context, marks))

    def closing(self, connection: Connection, facts: Closing) -> None:
        """Look whether it wrote to what had been removed."""
        if self._pending:
            self._look([each for each in self._pending if each.database is connection.database])
            if len(connection.database.live) <= 1:
                self._pending = [each for each in self._pending if each.database is not connection.database]

    def rest(self) -> None:
        """Look at all of them."""
        self._look(list(self._pending))

    def end(self) -> None:
        """Nobody is left to tell."""
        self._pending.clear()

    def forked(self) -> None:
        """The parent tells of its own."""
        self._pending.clear()

    def _look(self, removals: list[_Removal]) -> None:
        for each in removals:
            database = each.database
            now = proc.marks(set(each.marks))
            written = any(now.get(identity, mark) != mark for identity, mark in each.marks.items())
            for gone in each.marks.keys() - now.keys():  # closed by all; its inode may soon be another file's
                del each.marks[gone]
            alone = each.suffix and proc.identity_of(database.path) == database.identity
            if alone or written:
                self._pending.remove(each)
                self.scene.report(
                    "removed-while-open",
                    database.path,
                    each.seen + ("" if alone else " and has written to it since"),
                    stack=each.stack,
                    related=each.related,
                    context=each.context,
                )


def _with_its_directory() -> bool:
    """Whether `shutil.rmtree` is at work."""
    frame = sys._getframe(1)
    for _ in range(40):
        if frame.f_code.co_filename == _SHUTIL and "rmtree" in frame.f_code.co_name:
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False
