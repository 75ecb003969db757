"""Two SQLite libraries of one process on one file: MECHANISMS A5."""

import os
import sys
from collections import Counter
from typing import Any

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.connections import Connection
from crashlab.diagnosis.hazards.scene import Detector, opened_at
from crashlab.diagnosis.hazards.seam import Closing


class LibraryDetector(Detector):
    """`two-libraries`.

    In WAL mode each library maps the first piece of `-shm` for itself, and one library maps it once: two mappings
    prove it. A descriptor of `-shm` before the first connection of ours shows the other one as well. In rollback mode
    nothing of the kind can be seen.
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self._modules = self._modules_at_rest = 0
        self._libraries: list[str] = []
        self._told: set[str] = set()

    def connecting(self, path: str) -> None:
        """Look whether somebody in this process has the file's -shm open already."""
        if len(self._several()) < 2:
            return
        identity = proc.identity_of(path)
        database = self.scene.registry.by_identity(identity) if identity else None
        if database is not None and database.opened_here is not None:
            return
        main = os.path.realpath(path)
        if proc.descriptor_for(f"{main}-shm"):
            self._tell(main, "its -shm was open in this process before sqlite3 opened the database")

    def opened(self, connection: Connection) -> None:
        """Look at the mappings when there is reason to."""
        if len(self._several()) > 1:
            self._look()

    def closing(self, connection: Connection, facts: Closing) -> None:
        """Look at the mappings when there is reason to."""
        if len(self._several()) > 1:
            self._look()

    def rest(self) -> None:
        """Look when modules were loaded since: a library may have any name."""
        before = self._modules_at_rest
        self._modules_at_rest = len(sys.modules)
        if (before != self._modules_at_rest or len(self._several()) > 1) and self.scene.registry.open_databases():
            self._look()

    def end(self) -> None:
        """Look in any case."""
        if self.scene.registry.open_databases():
            self._look()

    def _several(self) -> list[str]:
        loaded = len(sys.modules)
        if loaded != self._modules:
            self._modules, self._libraries = loaded, proc.libraries()
        return self._libraries

    def _look(self) -> None:
        counts = Counter((each.path, each.file) for each in proc.mappings("-shm") if each.offset == 0)
        for (index, _file), times in counts.items():
            if times > 1:
                self._tell(index.removesuffix("-shm"), f"its -shm is mapped {times} times in this process")

    def _tell(self, path: str, seen: str) -> None:
        if path in self._told:
            return
        self._told.add(path)
        names = ", ".join(os.sep.join(name.split(os.sep)[-2:]) for name in self._several())
        identity = proc.identity_of(path)
        database = self.scene.registry.by_identity(identity) if identity else None
        first = database.opened_here if database else None
        self.scene.report("two-libraries", path, f"{seen}; loaded: {names}", related=opened_at(first))
