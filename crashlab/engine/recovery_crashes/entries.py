"""Names that the program itself removes or changes: a start-up that deletes a WAL, or moves a file aside.

The tap sees SQLite's own files only. Here `os.unlink`, `os.remove`, `os.rename` and `os.replace` (and so
`pathlib` and `shutil.move`) are recorded into the same log while a recovery runs, for the names that SQLite has
in the directory. What writes bytes past SQLite is not recorded; the comparison with the disk then says so.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crashlab.log.trace import DONE, TraceKind, encode_name, rename_payload, start_payload
from crashlab.log.writer import LogWriter

__all__ = ["entries_recorded"]

_REMOVERS = ("unlink", "remove")
_MOVERS = ("rename", "replace")


@contextmanager
def entries_recorded(log: LogWriter, directory: str, names: set[str]) -> Iterator[None]:
    """Record while the block runs; `names` are those in `directory` that a log speaks of, and follow renames."""
    root = os.path.join(os.path.realpath(directory), "")

    def inside(path: Any) -> str:
        try:
            text = str(Path(os.fsdecode(path)).absolute())
        except TypeError:
            return ""
        head, tail = os.path.split(text)
        text = os.path.join(os.path.realpath(head), tail)
        return text[len(root) :].replace(os.sep, "/") if text.startswith(root) else ""

    def logged(kind: TraceKind, payload: bytes, call: Callable[[], object]) -> None:
        start = log.append(kind, payload)
        rc = 1
        try:
            call()
            rc = 0
        except OSError as error:
            rc = error.errno or 1
            raise
        finally:
            log.append(TraceKind.DONE, DONE.pack(start, rc))

    def remover(real: Callable[..., None]) -> Callable[..., None]:
        def remove(path: Any, *args: Any, **options: Any) -> None:
            name = inside(path)
            if name not in names or options.get("dir_fd") is not None:
                return real(path, *args, **options)
            payload = start_payload(TraceKind.DELETE, tail=encode_name(name))
            return logged(TraceKind.DELETE, payload, lambda: real(path, *args, **options))

        return remove

    def mover(real: Callable[..., None]) -> Callable[..., None]:
        def move(source: Any, target: Any, *args: Any, **options: Any) -> None:
            old, new = inside(source), inside(target)
            if old not in names or not new or options:
                return real(source, target, *args, **options)
            logged(TraceKind.RENAME, rename_payload(old, new), lambda: real(source, target, *args))
            names.add(new)
            return None

        return move

    saved = {name: getattr(os, name) for name in (*_REMOVERS, *_MOVERS)}
    for name, real in saved.items():
        setattr(os, name, remover(real) if name in _REMOVERS else mover(real))
    try:
        yield
    finally:
        for name, real in saved.items():
            setattr(os, name, real)
