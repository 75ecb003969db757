"""Which databases a tree of processes has open, as /proc shows it (Linux).

Called in a process that has none of them open: reading a database's first bytes cancels no lock of the program's.
"""

import contextlib
import os

_MAGIC = b"SQLite format 3\0"
_SUFFIXES = ("-wal", "-shm", "-journal")
_NO_FILES = ("/dev/", "/proc/", "/sys/", "/memfd:")


class OpenDatabases:
    """Looks at descriptors again and again. `inside`: databases below `root`; `elsewhere`: other ones."""

    def __init__(self, root: str) -> None:
        self._prefix = os.path.join(os.path.realpath(root), "")
        self._known: set[str] = set()
        self.inside: set[str] = set()
        self.elsewhere: set[str] = set()

    def look(self, pids: list[int]) -> None:
        """Look at what some processes have open now."""
        for pid in pids:
            directory = f"/proc/{pid}/fd"
            with contextlib.suppress(OSError):
                for name in os.listdir(directory):
                    with contextlib.suppress(OSError):
                        self._see(os.readlink(f"{directory}/{name}"))  # noqa: PTH115 - many times a run

    def _see(self, path: str) -> None:
        if path in self._known or not path.startswith("/") or (path.startswith(_NO_FILES) and "/shm/" not in path):
            return
        main = next((path.removesuffix(suffix) for suffix in _SUFFIXES if path.endswith(suffix)), "")
        if not main and not _is_database(path):
            return  # it may yet become one
        self._known.add(path)
        (self.inside if path.startswith(self._prefix) else self.elsewhere).add(main or path)


def _is_database(path: str) -> bool:
    try:
        with open(path, "rb", opener=_opener) as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe with a name must not hold the lab
