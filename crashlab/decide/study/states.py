"""States of one recorded run, by sample, through real SQLite: the main file alone, and main with its WAL."""

import os
import shutil
import sqlite3
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from random import Random

import msgspec

from crashlab.decide.study.results import Killed
from crashlab.decide.study.track import Rest, Track
from crashlab.engine.recover import read_main_alone, read_rows
from crashlab.engine.road import DATABASE
from crashlab.model.history import History
from crashlab.model.step import Row, Table
from crashlab.sqlite.check import quick_check
from crashlab.states.materialise import Materialiser
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace

__all__ = ["Sampled", "sample_states"]

Rows = dict[tuple[str, Row], Row | None]


class Sampled(msgspec.Struct):
    """What the sampled states are.

    `resting`, `backfill`: how many main files alone are readable, malformed, …: at moments drawn by time, and at
    crash points inside a backfill. `rows_lost`: acked rows that each of the former has not, unless it is malformed.
    """

    resting: dict[str, int]
    backfill: dict[str, int]
    rows_lost: list[float]
    killed: Killed
    recovery_ms: list[float]
    recovery_frames: int


def sample_states(
    trace: Trace,
    track: Track,
    history: History,
    tables: tuple[Table, ...],
    *,
    scratch: Path,
    disk: Path,
    rng: Random,
    samples: int,
    recoveries: int,
) -> Sampled:
    """Look at `samples` moments drawn by time and at `samples` crash points inside a backfill.

    The recovery of `recoveries` of the former, and of the one with most frames, is timed on files in `disk`.
    """
    drawn = _by_time(track.rests, rng, samples)
    most = max(range(len(track.rests)), key=lambda at: track.rests[at].frames)
    timed = {*drawn[:: max(1, len(drawn) // max(1, recoveries))][:recoveries], most} if recoveries else set()
    inside = _inside(track.backfills, rng, samples)
    expected = _Expected(history)
    resting, backfill = Counter[str](), Counter[str]()
    rows_lost: list[float] = []
    found = Sampled({}, {}, rows_lost, Killed(), [], 0)
    states = lost = malformed = 0
    with Materialiser(trace, scratch) as files:
        looked: dict[int, tuple[str, int]] = {}
        for at in sorted({*drawn, most}):
            rest = track.rests[at]
            wanted = expected.at(_acked_before(trace, history, rest.moment))
            if at in drawn:
                if rest.moment not in looked:
                    work = files.show(CrashState(KILL, rest.moment))
                    kind, rows = _alone(work, scratch / "alone.db", tables)
                    looked[rest.moment] = kind, _missing(wanted, rows)
                kind, missing = looked[rest.moment]
                resting[kind] += drawn.count(at)
                if kind != "malformed":  # a file without tables has none of the rows
                    rows_lost += [float(missing)] * drawn.count(at)
            where = disk if at in timed else scratch.with_name(f"{scratch.name}-recovered")
            milliseconds, sound, rows = _recover(files.show(CrashState(KILL, rest.moment)), where, tables)
            if at in timed:
                found.recovery_ms.append(milliseconds)
                found.recovery_frames = max(found.recovery_frames, rest.frames)
            states += 1
            lost += _missing(wanted, rows) > 0
            malformed += not sound
        for moment in inside:
            kind, _ = _alone(files.show(CrashState(KILL, moment)), scratch / "alone.db", tables)
            backfill[kind] += 1
    found.resting, found.backfill = dict(sorted(resting.items())), dict(sorted(backfill.items()))
    found.killed = Killed(states, lost, malformed)
    return found


def _by_time(rests: Sequence[Rest], rng: Random, samples: int) -> list[int]:
    """Draw rests, each by the share of its length: one moment in each of `samples` equal parts of the time."""
    ends = list(accumulate(rest.end - rest.start for rest in rests))
    return [
        min(bisect_right(ends, (part + rng.random()) / samples * ends[-1]), len(rests) - 1) for part in range(samples)
    ]


def _inside(backfills: Sequence[tuple[int, int]], rng: Random, samples: int) -> list[int]:
    """Draw crash points inside backfills, without repeats; all of them where there are no more."""
    points = [moment for first, last in backfills for moment in range(first, last + 1)]
    return sorted(points if len(points) <= samples else rng.sample(points, samples))


class _Expected:
    """What the acked steps of process 0 wrote, up to so many of them."""

    def __init__(self, history: History) -> None:
        self._acked = [step for step in history.acked if not step.process]
        self._done = 0
        self._rows: Rows = {}

    def at(self, acked: int) -> Rows:
        """Each row's newest acked value after so many acks, which must not go down from call to call."""
        for step in self._acked[self._done : acked]:
            for effect in step.effects:
                self._rows[(effect.table, effect.key)] = effect.value
        self._done = max(self._done, acked)
        return self._rows


def _acked_before(trace: Trace, history: History, moment: int) -> int:
    if moment >= len(trace):
        return len(history.acked)
    seq = trace.seq[moment]
    return sum(1 for step in history.acked if not step.process and step.end_seq < seq)


def _missing(wanted: Rows, rows: dict[str, dict[Row, Row]]) -> int:
    return sum(rows.get(table, {}).get(key) != value for (table, key), value in wanted.items())


def _alone(work: Path, copy: Path, tables: tuple[Table, ...]) -> tuple[str, dict[str, dict[Row, Row]]]:
    if (work / DATABASE).exists():
        shutil.copyfile(work / DATABASE, copy)
    try:
        return read_main_alone(str(copy), tables)
    finally:
        copy.unlink(missing_ok=True)


def _recover(work: Path, disk: Path, tables: tuple[Table, ...]) -> tuple[float, bool, dict[str, dict[Row, Row]]]:
    """Copy main and WAL to the disk, time the first read there, and return what SQLite then finds."""
    disk.mkdir(parents=True)
    try:
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-journal"):
            if (work / name).exists():
                shutil.copyfile(work / name, disk / name)
                with open(disk / name, "rb+") as file:
                    os.fsync(file.fileno())
        start = time.perf_counter()
        connection = sqlite3.connect(disk / DATABASE, isolation_level=None)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            milliseconds = (time.perf_counter() - start) * 1000.0
            rows, _ = read_rows(connection, tables)
            return milliseconds, not quick_check(connection, 1), rows
        except sqlite3.Error:
            return (time.perf_counter() - start) * 1000.0, False, {}
        finally:
            connection.close()
    finally:
        shutil.rmtree(disk, ignore_errors=True)
