"""Opening, copying, truncating and renaming the files of an open database: MECHANISMS A1, A2, D1."""

import os
import sys
from typing import Any

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.connections import SIDECARS, Database
from crashlab.diagnosis.hazards.scene import Detector, Handler, how_many, opened_at, text_of
from crashlab.diagnosis.hazards.stack import user_stack

# Opened by the thousand when modules are imported.
_CODE = (".py", ".pyc", ".so", ".pyd")
_MAIN = "main file"


class FileDetector(Detector):
    """`stray-open` and the `…-while-open`, but for removals.

    Reads the interpreter's announcements, so it sees Python code and C code that goes through Python's functions.
    """

    def audits(self) -> dict[str, Handler]:
        """What is done to files."""
        return {
            "open": self._open,
            "shutil.copyfile": self._copy,
            "os.truncate": self._truncate,
            "os.rename": self._rename,
        }

    def _open(self, arguments: tuple[Any, ...]) -> None:
        path, mode, flags = arguments
        name = text_of(path)
        if name is None or name.endswith(_CODE):
            return
        database, suffix = self._find(name)
        if database is None:
            return
        how = f"open({_short(name)}{f', {mode!r}' if isinstance(mode, str) else ''})"
        if isinstance(flags, int) and flags & os.O_TRUNC:
            self._tell("truncated-while-open", database, suffix, f"{how} emptied the {_what(suffix)}")
            return
        if sys.platform == "win32" or self._copying(database):
            return
        if suffix == "-wal":
            note = " (SQLite locks the main file and the -shm only, so this one loses no lock; its bytes may be torn)"
        elif database.sidecar or os.path.exists(database.path + "-shm"):
            note = ""
        else:
            note = " (no transaction runs just now; it bites when the close falls into one)"
        self._tell("stray-open", database, suffix, f"{how} on the {_what(suffix)}{note}")

    def _copying(self, database: Database) -> bool:
        """Whether the same lines have just been reported for copying the file, which opens it too."""
        place = user_stack(1)
        return any(
            each.id == "copied-while-open" and each.path == database.path and each.stack[:1] == place
            for each in self.scene.recent
        )

    def _copy(self, arguments: tuple[Any, ...]) -> None:
        source, target = text_of(arguments[0]), text_of(arguments[1])
        if source is not None:
            database, suffix = self._find(source)
            if database is not None:
                self._tell(
                    "copied-while-open", database, suffix, f"the {_what(suffix)} was copied to {_short(target or '?')}"
                )

    def _truncate(self, arguments: tuple[Any, ...]) -> None:
        path, length = arguments[:2]
        name = proc.path_of(path) if isinstance(path, int) else text_of(path)
        database, suffix = self._find(name) if name else (None, "")
        if database is not None:
            self._tell("truncated-while-open", database, suffix, f"the {_what(suffix)} was cut to {length} bytes")

    def _rename(self, arguments: tuple[Any, ...]) -> None:
        old, new, *more = arguments
        first, second = (*more, -1, -1)[:2]
        source, target = resolved(old, first), resolved(new, second)
        if source:
            database, suffix = self._find(source)
            if database is not None:
                what = f"the {_what(suffix)} was renamed to {_short(target or '?')}"
                self._tell("renamed-while-open", database, suffix, what)
        if target:
            database, suffix = self._find(target)
            if database is not None:
                what = f"the {_what(suffix)} was replaced by {_short(source or '?')}"
                self._tell("replaced-while-open", database, suffix, what)

    def _find(self, name: str) -> tuple[Database | None, str]:
        database, suffix = self.scene.registry.find(name)
        if database is None and proc.AVAILABLE:
            return self._unknown(name)
        return database, suffix

    def _unknown(self, name: str) -> tuple[Database | None, str]:
        """A database that was attached, opened before the watch, or by another library: our own -shm gives it away."""
        for suffix in SIDECARS:
            name = name.removesuffix(suffix)
        index = name + "-shm"
        if not os.path.exists(index):
            return None, ""
        main = os.path.realpath(name)
        identity = proc.identity_of(main)
        if identity is None or not proc.descriptor_for(f"{main}-shm"):
            return None, ""
        return Database(main, identity), ""

    def _tell(self, identity: str, database: Database, suffix: str, seen: str) -> None:
        self.scene.report(
            identity, database.path, f"{seen}; {how_many(database)}", related=opened_at(database.opened_here)
        )


def resolved(path: Any, directory: Any = -1) -> str | None:
    """Return a path argument, resolved against an open directory where one is given."""
    name = text_of(path)
    if name is None or os.path.isabs(name) or not isinstance(directory, int) or directory < 0:
        return name
    base = proc.path_of(directory)
    return os.path.join(base, name) if base else None


def _what(suffix: str) -> str:
    return suffix or _MAIN


def _short(name: str) -> str:
    return repr(os.path.basename(name) or name)
