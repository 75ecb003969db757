"""The SQLite found in this process, read at run time: never assumed from the Python version.

The same Python version ships with different SQLites (and a distribution may patch one without changing its
number), so version, source id and compile options are asked of the library itself, in the process where it
will run.
"""

import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = ["SqliteLibrary", "find_library"]


@dataclass(frozen=True, slots=True)
class SqliteLibrary:
    """One loaded SQLite: plain data for the environment stamp.

    ``version`` / ``version_info``: such as ``3.40.1`` and ``(3, 40, 1)``. ``source_id``: check-in date and
    hash (sqlite_source_id). ``compile_options``: as PRAGMA compile_options lists them. ``threadsafety``:
    the DB-API level (0, 1 or 3) of the module. ``path``: the shared object that holds the library, where
    that can be told; None for a static build or an unknown. ``module``: the Python module it was reached
    through.
    """

    version: str
    version_info: tuple[int, ...]
    source_id: str
    compile_options: tuple[str, ...]
    threadsafety: int
    path: str | None
    module: str

    def has(self, option: str) -> bool:
        """Whether a compile option is set, with or without ``SQLITE_`` and a value: ``has("THREADSAFE")``."""
        wanted = option.upper().removeprefix("SQLITE_")
        return any(wanted in (given, given.partition("=")[0]) for given in self.compile_options)


def find_library(module: ModuleType = sqlite3) -> SqliteLibrary:
    """Ask the library behind a DB-API module (``sqlite3``, or one shaped like it, such as ``pysqlite3``)."""
    with closing(module.connect(":memory:")) as connection:
        version, source_id = connection.execute("select sqlite_version(), sqlite_source_id()").fetchone()
        options = tuple(row[0] for row in connection.execute("pragma compile_options"))
    return SqliteLibrary(
        version=version,
        version_info=tuple(map(int, version.split("."))),
        source_id=source_id,
        compile_options=options,
        threadsafety=module.threadsafety,
        path=_shared_object() if module is sqlite3 else None,
        module=module.__name__,
    )


def _shared_object() -> str | None:
    """Path of the one mapped file named like libsqlite3; None when there is none, or more than one."""
    names: set[str] = set()
    if sys.platform == "linux":
        try:
            lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return None
        names = {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    elif sys.platform == "win32":
        # The interpreter ships the library beside its extension modules.
        import _sqlite3

        here = os.path.dirname(_sqlite3.__file__ or "")
        names = {os.path.join(here, name) for name in ("sqlite3.dll", "libsqlite3-0.dll")}
        names = {name for name in names if os.path.exists(name)}
    matching = {name for name in names if _is_library(os.path.basename(name))}
    return matching.pop() if len(matching) == 1 else None


def _is_library(name: str) -> bool:
    return name.lower().startswith(("libsqlite3", "sqlite3.dll"))
