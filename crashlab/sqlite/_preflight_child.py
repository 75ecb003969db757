"""The processes that touch a preflight's database; run as a script by :mod:`crashlab.sqlite.preflight`.

``look`` and ``copy`` read raw bytes and never use SQLite on the file; ``backup`` uses SQLite and never
reads raw bytes. Each is a process of its own, since closing a raw descriptor cancels the locks of every
connection in that process. The answer is one JSON object on standard output; what goes wrong with the
database is part of it (``error``).
"""

import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

if __name__ == "__main__":
    # Started with -I, so that neither the user's directory nor his PYTHONPATH can change what runs.
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from crashlab.errors import CrashlabError
from crashlab.sqlite.files import Triplet, file_facts

TRIES = 8
SETTLED = 0.02  # seconds; a write within one tick of the file system's clock would leave the time as it was


def look(path: str, wal_copy: str) -> dict[str, object]:
    """Facts of main, -wal, -journal; first bytes of main and -journal; a raw copy of the -wal if one is wanted."""
    triplet = Triplet.of(path)
    facts = {}
    for file in (triplet.main, triplet.wal, triplet.journal):
        try:
            facts[file.name] = file_facts(file)._asdict()
        except FileNotFoundError:
            continue
    if wal_copy:
        with suppress(FileNotFoundError):
            shutil.copyfile(triplet.wal, wal_copy)
    return {
        "facts": facts,
        "head": _head(triplet.main, 512),
        "journal_head": _head(triplet.journal, 512),
        "names": sorted(file.name for file in triplet.existing()),
    }


def _head(path: Path, length: int) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(length).hex()
    except FileNotFoundError:
        return ""


def copy(path: str, directory: str, seconds: str) -> dict[str, object]:
    """Copy main and -wal raw, again until nothing changed meanwhile: the same stat and hash before and after."""
    end = time.monotonic() + float(seconds)
    triplet = Triplet.of(path)
    for attempt in range(TRIES):
        target = Path(directory) / f"try{attempt}"
        target.mkdir()
        before = _state(triplet)
        newest = max(status[1] for status in before.values() if status)
        if 0 <= time.time_ns() - newest < SETTLED * 1e9:
            time.sleep(SETTLED)
        copied = triplet.copy_into(target, shm=False)
        same = copied.facts(shm=False).values(), triplet.facts(shm=False).values()
        hashes = [[fact.sha256 for fact in facts] for facts in same]
        # A hot journal that appeared meanwhile: its transaction isn't over, and the copy must not roll it back.
        if _state(triplet) == before and hashes[0] == hashes[1] and _head(copied.journal, 1) in ("", "00"):
            return {"copy": str(copied.main)}
        shutil.rmtree(target)
        if time.monotonic() > end:
            break
    return {"error": "its files changed during every attempt to copy them: somebody is writing", "busy": True}


def _state(triplet: Triplet) -> dict[str, tuple[int, int, int] | None]:
    state: dict[str, tuple[int, int, int] | None] = {}
    for path in (triplet.main, triplet.wal, triplet.journal):
        try:
            status = os.stat(path)
            state[path.name] = (status.st_size, status.st_mtime_ns, status.st_ino)
        except FileNotFoundError:
            state[path.name] = None
    return state


def backup(path: str, target: str, seconds: str) -> dict[str, object]:
    """A consistent copy through the backup API, from a connection that can't write, recover or checkpoint."""
    end = time.monotonic() + float(seconds)

    def check(status: int, remaining: int, total: int) -> None:
        if time.monotonic() > end:
            raise TimeoutError(f"{remaining} of {total} pages were left at the deadline")

    uri = f"file:{quote(Path(path).as_posix())}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True, timeout=min(10.0, float(seconds)))) as source,
            closing(sqlite3.connect(target)) as destination,
        ):
            # One step sees one snapshot; more steps would start again after every commit of somebody else. The
            # first, empty read tells a locked or broken file at once instead of after a wait in the backup.
            source.execute("select count(*) from sqlite_master").fetchone()
            source.execute("begin")
            source.execute("select count(*) from sqlite_master").fetchone()
            source.backup(destination, pages=16384, progress=check, sleep=0.001)
    except TimeoutError as error:
        return {"error": str(error), "busy": True}
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        return {"error": f"{error} ({name})" if name else str(error), "name": name}
    return {"copy": target}


def main(arguments: list[str]) -> int:
    """Run one command and print its answer."""
    commands: dict[str, Callable[..., dict[str, object]]] = {"look": look, "copy": copy, "backup": backup}
    try:
        answer = commands[arguments[0]](*arguments[1:])
    except PermissionError as error:
        answer = {"error": f"{error.strerror}: {error.filename}", "denied": True}
    except (OSError, CrashlabError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))  # noqa: T201  the answer
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
