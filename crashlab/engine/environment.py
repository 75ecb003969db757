"""The environment stamp: an allow-list of facts that a number needs beside it; never `os.environ`."""

import os
import platform
import sqlite3
import sys

from crashlab.sqlite.filesystem import filesystem_of
from crashlab.sqlite.library import find_library


def environment_stamp(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Return operating system, file system of `directory`, Python and SQLite, as text."""
    library = find_library()
    file_system = filesystem_of(directory)
    return {
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cores": str(os.cpu_count() or 0),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": library.version,
        "sqlite_source_id": library.source_id,
        "file_system": file_system.kind,
        "threadsafety": str(sqlite3.threadsafety),
        "platform": sys.platform,
    }
