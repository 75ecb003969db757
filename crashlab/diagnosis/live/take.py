"""Looking at a live database: from a process of its own, several times, without a connection."""

import os
import sys
from pathlib import Path

import msgspec

from crashlab.diagnosis.child import ask_child
from crashlab.diagnosis.live import procfs
from crashlab.diagnosis.live.report import Database, LiveReport
from crashlab.errors import UsageError

__all__ = ["live"]

_CHILD = Path(__file__).with_name("_child.py")
LOOKS = 3
PAUSE_S = 0.15


def live(
    path: str | os.PathLike[str] | None = None,
    *,
    pid: int = 0,
    into: str | os.PathLike[str] | None = None,
    seconds: float = 120.0,
    bytes_max: int = 64 << 30,
) -> LiveReport:
    """Say who has a database open and what is wrong with it, without opening it in anybody's way.

    `path`: the database; or `pid`: all that this process has open. `into`: a directory, new or empty, that gets the
    files which have lost their names. Only what every one of several looks saw is reported.

    Raises:
        UsageError: no Linux, no such file or process, or `into` is not empty.
        LimitError, LabError: too slow, too large, or a copy failed.
    """
    if not procfs.available():
        raise UsageError(f"a live system is looked at through Linux's /proc; this is {sys.platform}")
    if pid and not Path(f"/proc/{pid}").is_dir():
        raise UsageError(f"there is no process {pid}")
    where = "" if path is None else (os.fspath(path) if pid else os.path.realpath(path))
    if not where and not pid:
        raise UsageError("expected the path of a database, or the id of a process")
    target = None if into is None else Path(into)
    if target is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not empty; name a new directory")
    if target is not None and not target.absolute().parent.is_dir():
        raise UsageError(f"{target.absolute().parent} is no directory; {target.name} is to be made in it")
    order = {
        "path": str(Path(where).absolute()) if where else "",
        "pid": pid,
        "into": str(target.absolute()) if target else "",
        "looks": LOOKS,
        "pause": PAUSE_S,
        "bytes_max": bytes_max,
    }
    answer = ask_child(_CHILD, "look", order, what="looking at the system", seconds=seconds)
    databases = msgspec.convert(answer["databases"], tuple[Database, ...])
    if where and not databases[0].look.paths and not databases[0].look.openers:
        raise UsageError(f"{where} does not exist, and nobody has it open")
    notes = []
    if pid and not databases:
        notes.append(f"process {pid} has no SQLite database open")
    return LiveReport(databases, LOOKS, tuple(notes))
