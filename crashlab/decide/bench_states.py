"""The bench of the trace road: crash states per second, beside writing whole files for each; and recording."""

import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec

from crashlab.decide.bench import Figure, compare
from crashlab.decide.bench_workload import Ledger
from crashlab.engine.recording import Recording
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.model.case import Case
from crashlab.model.history import EndKind
from crashlab.sqlite.check import quick_check
from crashlab.states.materialise import Materialiser
from crashlab.states.measure import measure_states
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.recover import Probe
from crashlab.states.trace import Trace
from crashlab.writers.order import Order, TapPlan
from crashlab.writers.spawn import SpawnLauncher

WORKLOAD = "crashlab.decide.bench_workload:ledger"
RECORDED = "crashlab.decide.bench_workload:commits"
COUNTS = ("SELECT count(*) FROM entry", "SELECT n FROM counter")
WHOLE_FILES = 300
COMMITS = 2000
WANTED = {
    "by class": "at least 100,000/s",
    "by class, cross-checked": "at least 30,000/s, no mismatch",
    "each by itself": "at least 1500/s (FULL), 1200/s (NORMAL)",
}


def bench_states(*, seed: int, rounds: int, workspace: str | None = None) -> Iterator[Figure]:
    """Distinct crash states of torn power losses per second and core, on a trace of 500 commits.

    Beside each: the same states by replaying into whole files, opening them with SQLite, quick_check and the
    same two counts, which is what a user would write. Then what recording costs a program.

    Raises:
        LabError: no tap here, or the cross-check found a mismatch.
    """
    with Workspace(workspace) as space:
        for synchronous in ("FULL", "NORMAL"):
            road = TraceRoad(Subject("bench", WORKLOAD), space)
            try:
                recording = road.recording(Case("bench", seed, "none", {"synchronous": synchronous}))
            finally:
                road.close()
            yield from _speeds(recording, synchronous, space.root, seed, rounds)
        for synchronous in ("NORMAL", "FULL"):
            yield _recording_cost(space, synchronous, seed, rounds)


def _speeds(recording: Recording, synchronous: str, root: Path, seed: int, rounds: int) -> Iterator[Figure]:
    trace = recording.trace()
    probe = Probe(Path(recording.order.database).name, COUNTS)
    rates: dict[str, list[float]] = {}
    whole: list[float] = []
    for number in range(rounds):
        for speed in measure_states(trace, probe, root / f"measure{number}", seed=seed):
            if speed.mismatches:
                raise LabError(f"{speed.mismatches} cross-checks differed: these figures mean nothing")
            rates.setdefault(speed.way, []).append(speed.per_second)
        whole.append(_whole_files(trace, probe.database, root / "whole", seed))
    for way, found in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(found, whole, strict=True)]
        yield Figure(
            f"crash states, {synchronous}, {way}",
            statistics.median(found),
            statistics.median(whole),
            "states/s",
            statistics.median(ratios),
            min(ratios),
            max(ratios),
            rounds,
            WANTED.get(way, ""),
        )


def _whole_files(trace: Trace, database: str, scratch: Path, seed: int) -> float:
    """What a user would do: each state as whole files, opened, checked, counted, removed."""
    drawn = list(crash_states(trace, Model(Policy.TORN, states_max=WHOLE_FILES * 4), Random(seed)))
    states = Random(seed).sample(drawn, min(WHOLE_FILES, len(drawn)))
    states.sort(key=lambda state: state.op)
    with Materialiser(trace, scratch / "states") as files:
        started = time.perf_counter()
        for state in states:
            directory = scratch / "one"
            directory.mkdir()
            files.export(state, directory)
            connection = sqlite3.connect(directory / database, isolation_level=None)
            quick_check(connection)
            for query in COUNTS:
                try:
                    connection.execute(query).fetchall()
                except sqlite3.Error:
                    continue  # the table is not there yet, or no more
            connection.close()
            shutil.rmtree(directory)
        rate = len(states) / (time.perf_counter() - started)
    shutil.rmtree(scratch, ignore_errors=True)
    return rate


def _recording_cost(space: Workspace, synchronous: str, seed: int, rounds: int) -> Figure:
    """Whole processes: 2000 small commits under the recording tap, beside the same without."""
    launcher = SpawnLauncher(RECORDED)
    params = {**Ledger.params, "steps": COMMITS, "synchronous": synchronous}

    def run(plan: TapPlan | None) -> float:
        directory = space.make_run()
        order = Order(str(directory), str(directory / "state.db"), RECORDED, seed, params, log_bytes_max=1 << 30)
        ended = launcher.launch(msgspec.structs.replace(order, tap=plan))
        shutil.rmtree(directory)
        if ended.kind is not EndKind.EXITED or ended.code:
            raise LabError(f"a bench's writer ended by {ended.kind} {ended.code}: {ended.stderr[-300:]}")
        return COMMITS / ((ended.end_ns - ended.start_ns) / 1e9)

    return compare(
        f"recording {COMMITS} small commits, {synchronous}, whole process",
        lambda: run(TapPlan(record=True, seed=seed)),
        lambda: run(None),
        rounds=rounds,
        unit="commits/s",
        wanted="at least 0.67 of unrecorded (1.5 times its time)",
    )
