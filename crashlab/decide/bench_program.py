"""The bench of `crashlab run -- COMMAND`: a recorded program beside the same program untouched."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from crashlab.decide.bench import Figure, compare
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.sqlite.filesystem import filesystem_of
from crashlab.writers.program.launch import Launch, Ran, launch

COMMITS = 2000
WRITES = 2000
REPLACES = 500
WANTED = "at least 0.67 of untouched (1.5 times its time)"
REPLACES_WANTED = "at least 0.4 of untouched (2.5 times its time)"
_COMMITS = f"""
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=" + sys.argv[1])
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
for number in range({COMMITS}):
    db.execute("INSERT INTO t(v) VALUES(?)", ("v" * 100,))
db.close()
"""
_WRITES = f"""
with open("state.log", "wb", buffering=0) as file:
    for number in range({WRITES}):
        file.write(b"%060d" % number)
"""
_REPLACES = f"""
import os
here = os.open(".", os.O_RDONLY)
for number in range({REPLACES}):
    with open("state.tmp", "wb") as file:
        file.write(b"%060d" % number)
        file.flush()
        os.fsync(file.fileno())
    os.replace("state.tmp", "state")
    os.fsync(here)
"""


def bench_program(*, rounds: int, workspace: str | None = None) -> Iterator[Figure]:
    """Whole processes, from start to end: 2000 small commits recorded, beside the same untouched.

    In the workspace (memory, where there is some) and, if that is another file system, in the current directory; then
    as `crashlab run` does it: recorded in the workspace, beside the untouched program in the current directory. Last
    the files beside a database: small writes to one, and one replaced with all the syncs that a careful program makes.
    """
    yield from bench_recording(launch, "recording", WANTED, rounds=rounds, workspace=workspace)
    with tempfile.TemporaryDirectory(prefix=".crashlab-bench-", dir=".") as directory:
        here = Path(directory).resolve()
        for what, unit, program, count, wanted in (
            (f"{WRITES} small writes to one file", "writes/s", _WRITES, WRITES, WANTED),
            (f"{REPLACES} replacements of a file", "files/s", _REPLACES, REPLACES, REPLACES_WANTED),
        ):
            yield compare(
                f"recording a program's {what}, {filesystem_of(here).kind}, whole process",
                partial(_run, here, (program,), count, launch),
                partial(_run, here, (program,), count, None),
                rounds=rounds,
                unit=unit,
                wanted=wanted,
            )


def bench_recording(
    record: Callable[[Launch], Ran], name: str, wanted: str, *, rounds: int, workspace: str | None
) -> Iterator[Figure]:
    """The same with any recorder. `name`: what is measured."""
    with Workspace(workspace) as space, tempfile.TemporaryDirectory(prefix=".crashlab-bench-", dir=".") as directory:
        here, there = Path(directory).resolve(), space.root
        own, labs = filesystem_of(here).kind, filesystem_of(there).kind
        places = {own: (here, here)}
        if labs != own:
            places |= {labs: (there, there), f"{labs} beside {own}": (there, here)}
        for kind, (recorded, untouched) in places.items():
            for synchronous in ("NORMAL", "FULL"):
                yield compare(
                    f"{name} a program's {COMMITS} small commits, {synchronous}, {kind}, whole process",
                    partial(_run, recorded, (_COMMITS, synchronous), COMMITS, record),
                    partial(_run, untouched, (_COMMITS, synchronous), COMMITS, None),
                    rounds=rounds,
                    unit="commits/s",
                    wanted=wanted,
                )


def _run(root: Path, program: tuple[str, ...], count: int, record: Callable[[Launch], Ran] | None) -> float:
    """Do `count` things with a program and its arguments, and return how many a second."""
    area = root / "bench-program"
    (area / "copy").mkdir(parents=True)
    argv = (sys.executable, "-c", *program)
    try:
        if record:
            ran = record(Launch(argv, str(area / "run"), str(area / "copy"), timeout_s=600.0))
            if ran.code or ran.problems or not ran.started:
                raise LabError(f"a bench's program ended with {ran.code}: {(*ran.problems, ran.stderr[-300:])[0]}")
            seconds = ran.seconds
        else:
            began = time.perf_counter()
            subprocess.run(argv, cwd=area / "copy", check=True, stdin=subprocess.DEVNULL, start_new_session=True)
            seconds = time.perf_counter() - began
    finally:
        shutil.rmtree(area, ignore_errors=True)
    return count / seconds
