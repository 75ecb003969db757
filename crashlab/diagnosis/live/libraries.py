"""Which SQLite a process has loaded, and its version, read from the bytes of the file that is mapped."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from crashlab.diagnosis.live.procfs import Mapping, inside
from crashlab.diagnosis.live.report import Library

__all__ = ["libraries_of"]

BYTES_MAX = 256 << 20
_NAMED = re.compile(r"^(?:lib)?sqlite3|^_sqlite3|^pysqlite|apsw|sqlcipher|\bsqlite", re.IGNORECASE)
_VERSION = re.compile(rb"\x00(3\.\d{1,2}\.\d{1,2}(?:\.\d)?)\x00")
_SOURCE_ID = re.compile(rb"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d [0-9a-f]{40,64}")
_BLOCK = 4 << 20
_OVERLAP = 4096


def libraries_of(pid: int, mapped: Iterable[Mapping], known: dict[tuple[int, int], str]) -> tuple[Library, ...]:
    """The SQLites of a process. `known` remembers versions by file, over processes.

    Python's binding counts only where no libsqlite3 is loaded beside it; the program itself, where nothing else is.
    """
    by_path = {each.path: each for each in mapped if ".so" in each.path or each.path.endswith((".dylib", ".pyd"))}
    named = {path: each for path, each in by_path.items() if _is_sqlite(path)}
    real = {path for path in named if os.path.basename(path).startswith("libsqlite3")}
    if real:
        named = {path: each for path, each in named.items() if not os.path.basename(path).startswith("_sqlite3")}
    found = [Library(path, _version(pid, each, known)) for path, each in sorted(named.items())]
    if any(each.version for each in found):
        return tuple(found)
    try:
        program = str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return tuple(found)
    version = _read(f"/proc/{pid}/exe", known)
    return (*found, Library(program, version)) if version else tuple(found)


def _is_sqlite(path: str) -> bool:
    return bool(_NAMED.search(os.path.basename(path))) or f"{os.sep}apsw{os.sep}" in path


def _version(pid: int, mapped: Mapping, known: dict[tuple[int, int], str]) -> str:
    """From the file as that process sees it; if another one has its name by now, from the mapping itself."""
    path = inside(pid, mapped.path)
    try:
        same = os.stat(path).st_ino == mapped.inode
    except OSError:
        same = False
    return _read(path if same else f"/proc/{pid}/map_files/{mapped.span}", known)


def _read(path: str, known: dict[tuple[int, int], str]) -> str:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            key = status.st_dev, status.st_ino
            if key not in known:
                known[key] = _scan(file.read(_BLOCK), file) if status.st_size <= BYTES_MAX else ""
            return known[key]
    except OSError:
        return ""


def _scan(block: bytes, file: BinaryIO) -> str:
    """The version stands as a string of its own; without a source id beside it, it is some other program's."""
    versions: set[bytes] = set()
    source, tail = False, b""
    while block:
        data = tail + block
        versions.update(_VERSION.findall(data))
        source = source or bool(_SOURCE_ID.search(data))
        tail, block = data[-_OVERLAP:], file.read(_BLOCK)
    if not versions or not source:
        return ""
    numbers = max(tuple(map(int, each.split(b"."))) for each in versions)
    return ".".join(map(str, numbers[:3] if numbers[3:] == (0,) else numbers))  # apsw adds a zero of its own
