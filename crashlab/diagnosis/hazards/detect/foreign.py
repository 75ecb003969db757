"""A descriptor on the database that was open before its first connection and is closed under it: MECHANISMS A1."""

import os
import sys
from typing import Any

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.connections import Connection, Database, Foreign
from crashlab.diagnosis.hazards.hazard import Frame, Related
from crashlab.diagnosis.hazards.scene import Detector, Handler, opened_at, text_of
from crashlab.diagnosis.hazards.seam import Closing
from crashlab.diagnosis.hazards.stack import user_stack

RECENT_MAX = 4096
_CODE = (".py", ".pyc", ".so", ".pyd")


class ForeignDetector(Detector):
    """`stray-open`, seen from the other side. A close is announced by nobody, so it is seen afterwards.

    A descriptor that outlives the connection does no harm and is not reported.
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self._recent: dict[str, tuple[Frame, ...]] = {}
        self._met: set[str] = set()
        self._found: dict[proc.Identity, list[Foreign]] = {}

    def audits(self) -> dict[str, Handler]:
        """Which files the program opens, so that later connects know where to look."""
        return {"open": self._open} if proc.AVAILABLE else {}

    def _open(self, arguments: tuple[Any, ...]) -> None:
        name = text_of(arguments[0])
        if name is None or name.endswith(_CODE):
            return
        if len(self._recent) >= RECENT_MAX:
            del self._recent[next(iter(self._recent))]
        self._recent[os.path.basename(name)] = user_stack(1)

    def connecting(self, path: str) -> None:
        """Look for descriptors on the file while none of them can be SQLite's."""
        if not proc.AVAILABLE:
            return
        where = self._recent.get(os.path.basename(path)) if self._recent else None
        if where is None and path in self._met:
            return
        if len(self._met) >= RECENT_MAX:
            self._met.clear()
        self._met.add(path)
        identity = proc.identity_of(path)
        if identity is None:
            return
        database = self.scene.registry.by_identity(identity)
        if database is not None and database.opened_here is not None:
            return
        frame = where[0] if where else None
        numbers = proc.descriptors_on(identity)
        if numbers and not proc.descriptor_for(os.path.realpath(path) + "-shm"):  # else it is another SQLite's
            self._found[identity] = [Foreign(number, frame) for number in numbers]

    def opened(self, connection: Connection) -> None:
        """Keep what was found with the database."""
        if self._found:
            connection.database.foreign += self._found.pop(connection.database.identity, [])

    def closing(self, connection: Connection, facts: Closing) -> None:
        """Look which of them are gone."""
        database = connection.database
        if database.foreign:
            self._look(database)
            if len(database.live) <= 1:
                database.foreign.clear()

    def forked(self) -> None:
        """A child's close cancels no lock of the parent's."""
        for database in self.scene.registry.open_databases():
            database.foreign.clear()

    def end(self) -> None:
        """What is still open on both sides will be closed some day."""
        for database in self.scene.registry.open_databases():
            if database.foreign and database.is_open:
                self._look(database)
                for each in database.foreign:
                    self._tell(database, each, "is still open beside the connection; its close will do it")
                database.foreign.clear()

    def _look(self, database: Database) -> None:
        for each in list(database.foreign):
            if proc.identity_of(f"/proc/self/fd/{each.number}") != database.identity:
                database.foreign.remove(each)
                self._tell(database, each, "was closed while the database was open")

    def _tell(self, database: Database, each: Foreign, what: str) -> None:
        if sys.platform == "win32":
            return
        stack = (each.frame,) if each.frame else ()
        self.scene.report(
            "stray-open",
            database.path,
            f"a descriptor of the main file that was opened before the first connection {what}",
            stack=stack,
            related=(
                *opened_at(database.opened_here),
                *(() if stack else (Related("noticed at", user_stack()),)),
            ),
            context=database.opened_here.context if database.opened_here else None,
        )
