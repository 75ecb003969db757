"""What each schedule starts from: the files that the program leaves when it has opened and closed its database once."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from crashlab.errors import LimitError
from crashlab.model.case import Param

__all__ = ["Templates", "make_ready"]

BYTES_MAX = 64 << 20
KEPT_MAX = 64


class Templates:
    """The templates by parameters. `make(directory, params)` fills an empty directory; `alike`: whatever they are."""

    def __init__(self, root: Path, make: Callable[[Path, Mapping[str, Param]], None], *, alike: bool = False) -> None:
        self._root = root
        self._make = make
        self._alike = alike
        self._found: dict[bytes, dict[str, bytes] | Path] = {}

    def copy(self, params: Mapping[str, Param], directory: Path) -> None:
        """Fill `directory` with the template for these parameters; what it has by these names is written over.

        Raises:
            LimitError: the program leaves more than is sensible to copy for every schedule.
        """
        key = b"" if self._alike else msgspec.json.encode(params, order="sorted")
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= KEPT_MAX:
                self._found.clear()
            found = self._found[key] = self._taken(params)
        if isinstance(found, Path):
            shutil.copytree(found, directory)
            return
        directory.mkdir(exist_ok=True)
        for name, data in found.items():
            _write(f"{directory}/{name}", data)

    def _taken(self, params: Mapping[str, Param]) -> dict[str, bytes] | Path:
        """Small templates of plain files are kept in memory: they are written thousands of times."""
        source = self._root / f"template-{len(os.listdir(self._root))}"
        source.mkdir()
        self._make(source, params)
        entries = list(source.rglob("*"))
        size = sum(entry.stat().st_size for entry in entries if entry.is_file())
        if size > BYTES_MAX:
            raise LimitError(f"the program leaves {size} bytes when it has opened and closed: at most {BYTES_MAX}")
        if any(not entry.is_file() or entry.is_symlink() for entry in entries):
            return source
        return {entry.name: entry.read_bytes() for entry in entries}


def make_ready(workload: Any, context: Any) -> None:
    """Make the database that schedules start from: by the workload's own `prepare`, or by opening and closing it."""
    prepare = getattr(workload, "prepare", None)
    if prepare is not None:
        prepare(context)
    else:
        workload.open(context).close()


def _write(path: str, data: bytes) -> None:
    """Write a file whole; over one that is there, whose memory then need not be taken anew."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if os.fstat(descriptor).st_size > len(data):
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
