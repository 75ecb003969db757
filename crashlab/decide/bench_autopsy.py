"""A bench: an autopsy of a large database, beside what one would do by hand."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from crashlab.decide.bench import Figure, compare
from crashlab.diagnosis.autopsy import autopsy
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError

MAIN_MB, WAL_MB = 850, 200
MEMORY_MB = 500

# Ends without closing, so that the WAL stays.
_BUILD = """
import os, sqlite3, sys
path, main, wal = sys.argv[1], int(sys.argv[2]) << 20, int(sys.argv[3]) << 20
c = sqlite3.connect(path, isolation_level=None)
for pragma in ("journal_mode=wal", "synchronous=off", "cache_size=-20000"):
    c.execute(f"pragma {pragma}")
c.execute("create table t(id integer primary key, who integer, v text)")
c.execute("create index tw on t(who)")
number = 0
while os.path.getsize(path) < main:
    c.execute("begin")
    rows = ((n, n * 7919 % 1000003, "x" * 300) for n in range(number, number + 50000))
    c.executemany("insert into t values (?, ?, ?)", rows)
    c.execute("commit")
    c.execute("pragma wal_checkpoint(truncate)")
    number += 50000
c.execute("pragma wal_autocheckpoint=0")
turn = 0
while os.path.getsize(path + "-wal") < wal:
    c.execute("update t set v = v || ? where id % 500 = ?", ("y", turn % 500))
    turn += 1
os._exit(0)
"""


def bench_autopsy(*, rounds: int, workspace: str | None = None) -> Iterator[Figure]:
    """Megabytes per second of `crashlab autopsy` on a gigabyte, beside a copy by hand and PRAGMA integrity_check of it.

    Then the largest of its processes beside 500 MB. Builds the database first, which takes longer than a round, and
    needs four times its size on disk.
    """
    import resource  # not there on Windows

    with Workspace(workspace) as space:
        place = Path(space.make_run())
        path = place / "large.db"
        build = [sys.executable, "-c", _BUILD, str(path), str(MAIN_MB), str(WAL_MB)]
        if subprocess.run(build, check=False).returncode:
            raise LabError(f"the database of the bench could not be built in {place}")
        size = sum(file.stat().st_size for file in (path, Path(f"{path}-wal"))) / 1e6
        yield compare(
            f"autopsy of {size:,.0f} MB of database and WAL",
            lambda: _autopsy(path, size),
            lambda: _by_hand(path, size),
            rounds=rounds,
            unit="MB/s",
            wanted=f"at least {size / 30:.0f} MB/s: {size:,.0f} MB in 30 s",
        )
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        ratio = peak / MEMORY_MB
        yield Figure(
            "memory of its largest process", peak, MEMORY_MB, "MB", ratio, ratio, ratio, rounds, "at most 1.00x"
        )


def _autopsy(path: Path, size: float) -> float:
    began = time.monotonic()
    report = autopsy(path, scratch=path.parent)
    if report.exit_code:
        raise LabError(f"the autopsy of the bench's own database says {report.verdict}: {report.why}")
    return size / (time.monotonic() - began)


def _by_hand(path: Path, size: float) -> float:
    began = time.monotonic()
    place = path.parent / "by hand"
    place.mkdir()
    try:
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", place / f"{path.name}{suffix}")
        with closing(sqlite3.connect(place / path.name)) as connection:
            answer = connection.execute("pragma integrity_check").fetchall()
    finally:
        shutil.rmtree(place)
    if answer != [("ok",)]:
        raise LabError(f"integrity_check of the bench's own database says {answer[0][0]}")
    return size / (time.monotonic() - began)
