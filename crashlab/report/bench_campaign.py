"""The bench of campaigns: what events, records and the report cost; and two dask workers beside one."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import psutil
from rich.console import Console

from crashlab.decide.bench import ACKS_MAX, Figure
from crashlab.decide.bench_states import WORKLOAD
from crashlab.engine.campaign import Limits, Tally, run_campaign
from crashlab.engine.events import Emitter
from crashlab.engine.remote.order import own_versions
from crashlab.engine.remote.pools import DaskPool
from crashlab.engine.remote.road import RemoteRoad
from crashlab.engine.road import RealRoad, Road
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.model.case import Case
from crashlab.model.seed import rng_for, subseed
from crashlab.report.ndjson import NdjsonWriter, open_records
from crashlab.report.progress import ProgressListener
from crashlab.report.summary.fold import summarise
from crashlab.report.summary_text import SummaryText

__all__ = ["HandlingFigure", "bench_campaign"]

KILLS = 600
BATCHES = 4
STATES = 60_000
SHARE_MAX = 0.03
START_S = 60.0


class HandlingFigure(msgspec.Struct, frozen=True):
    """What a campaign's events, records, progress and report cost, of its time and of all processor time it used."""

    name: str
    trials: int
    seconds: float
    handling_s: float
    cpu_seconds: float
    handling_cpu_s: float

    @property
    def share(self) -> float:
        """Of the time by the clock."""
        return self.handling_s / self.seconds

    @property
    def cpu_share(self) -> float:
        """Of the processor time of the lab and its children."""
        return self.handling_cpu_s / self.cpu_seconds

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.trials} trials in {self.seconds:.1f} s, events, records and report "
            f"{self.handling_s:.3f} s = {100 * self.share:.2f} % of the time, {100 * self.cpu_share:.2f} % of the "
            f"processor time; wanted: under {100 * SHARE_MAX:g} %"
        )


class _Timed(Emitter):
    """An emitter that knows what its listeners cost."""

    seconds = cpu_seconds = 0.0

    def emit(self, kind: str, trial_id: str = "", **data: Any) -> None:
        clock, cpu = time.perf_counter(), time.thread_time()
        super().emit(kind, trial_id, **data)
        self.seconds += time.perf_counter() - clock
        self.cpu_seconds += time.thread_time() - cpu


def bench_campaign(
    subject: Subject, *, seed: int, rounds: int, workspace: str | None = None
) -> Iterator[msgspec.Struct]:
    """The share of events and reporting on both roads, then two dask workers beside one where dask is installed.

    Raises:
        LabError: the cluster did not start.
    """
    kills = (
        Case(subject.name, subseed(seed, "bench", n), f"kill@ack#{rng_for(seed, 'ack', n).randint(1, ACKS_MAX)}")
        for n in range(KILLS)
    )
    with Workspace(workspace) as space:
        yield _handling("a campaign of real kills", RealRoad(subject, space), kills, KILLS, space)
        batches = _batches(seed, BATCHES)
        road = TraceRoad(Subject("bench", WORKLOAD), space)
        yield _handling(f"a campaign of batches of {STATES:,} states", road, batches, BATCHES, space)
    if find_spec("distributed") is not None:
        yield _workers(seed, rounds)


def _batches(seed: int, count: int) -> Iterator[Case]:
    return (Case("bench", subseed(seed, "batch", n), f"states@torn#{STATES}") for n in range(count))


def _handling(name: str, road: Road, cases: Iterator[Case], count: int, space: Workspace) -> HandlingFigure:
    slots = os.cpu_count() or 2
    with tempfile.TemporaryDirectory() as directory:
        records = Path(directory)
        used = _cpu_used()
        started = time.perf_counter()
        with (
            open_records(records) as stream,
            ThreadPoolExecutor(slots) as executor,
            ProgressListener(Console(file=None, stderr=True), count) as progress,
        ):
            emitter = _Timed(NdjsonWriter(stream), progress)
            try:
                tally = run_campaign(road, cases, executor, Limits(slots=slots), emitter, check_room=space.check_room)
            finally:
                road.close()
        trials = time.perf_counter() - started
        clock, cpu = time.perf_counter(), time.thread_time()
        for outcome in tally.outcomes:  # as the campaign does for each event, outside of `emit`
            msgspec.to_builtins(outcome)
        console = Console(width=120, file=None, stderr=True)
        with console.capture():
            console.print(SummaryText(summarise([directory])))
        told, told_cpu = time.perf_counter() - clock, time.thread_time() - cpu
        return HandlingFigure(
            name,
            sum(tally.verdicts.values()),
            trials + told,
            emitter.seconds + told,
            _cpu_used() - used,
            emitter.cpu_seconds + told_cpu,
        )


def _cpu_used() -> float:
    """Processor seconds of this process and of its children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _workers(seed: int, rounds: int) -> Figure:
    """Batches of states a second on one worker of one thread and on two."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as directory, _cluster(Path(directory)) as address:
        for number in range(rounds):
            for workers in (1, 2):
                rates[workers].append(_rate(address, workers, subseed(seed, "round", number)))
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return Figure(
        f"two dask workers beside one, batches of {STATES:,} states",
        statistics.median(rates[2]) * STATES,
        statistics.median(rates[1]) * STATES,
        "states/s",
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        rounds,
        "at least 1.5 on two free cores",
    )


def _rate(address: str, slots: int, seed: int) -> float:
    """Batches a second with so many in flight: each worker has one thread, so one batch keeps one worker."""
    pool = DaskPool(address, slots=slots)
    road = RemoteRoad(Subject("bench", WORKLOAD), pool, own_versions(), keep=None)
    count = 2 * BATCHES
    tally = Tally()
    try:
        with ThreadPoolExecutor(slots) as executor:
            started = time.perf_counter()
            limits = Limits(slots=slots)
            run_campaign(road, _batches(seed, count), executor, limits, Emitter(), tally=tally)
            seconds = time.perf_counter() - started
    finally:
        road.close()
    wrong = [outcome for outcome in tally.outcomes if outcome.states is None]
    if wrong:
        raise LabError(f"a bench's batch was {wrong[0].verdict}: {wrong[0].error}")
    return count / seconds


def _threads(address: str) -> int:
    with contextlib.closing(DaskPool(address)) as pool:
        return pool.slots


@contextlib.contextmanager
def _cluster(directory: Path) -> Iterator[str]:
    """A scheduler and two workers of one thread each, warm; gone at the end."""
    file = directory / "scheduler.json"
    common = ("--no-dashboard",)
    one = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--scheduler-file", str(file), *common)
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(directory, "scheduler", "--host", "127.0.0.1", "--port", "0", *one[-3:]))
        started += [_start(directory, "worker", *one) for _ in range(2)]
        deadline = time.monotonic() + START_S
        while not file.exists() or not file.stat().st_size:
            if time.monotonic() > deadline or started[0].poll() is not None:
                raise LabError("the bench's dask scheduler did not start")
            time.sleep(0.05)
        address = str(msgspec.json.decode(file.read_bytes())["address"])
        while _threads(address) < 2:
            if time.monotonic() > deadline:
                raise LabError("the bench's dask workers did not start")
        _rate(address, 2, 0)  # loads the engine in both
        yield address
    finally:
        for process in started[::-1]:
            process.terminate()
        _, alive = psutil.wait_procs([psutil.Process(process.pid) for process in started], timeout=10)
        for left in alive:
            left.kill()
        for process in started:
            process.wait()


def _start(directory: Path, *words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words],
        cwd=directory,
        env={**os.environ, "TMPDIR": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
