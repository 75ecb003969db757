"""Bench of schedules: does the generic workload find SQLite's WAL-reset defect blind, how soon, and nothing where it is
fixed?

Nothing of the defect is known to what is measured: the ledger of acked rows is the oracle, and the fixed version is its
control. Each seed has so many schedules, however long they take. Where threads act, seconds are those of CPU: one core
is busy, and what else the machine does is none of the figure; processes are measured by the clock.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.explore import Budget, Failure
from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.orders import Greeting
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY
from crashlab.engine.workspace import Workspace
from crashlab.sqlite.advisories import ADVISORIES

__all__ = ["Bar", "bench_schedules"]

LEDGER = ("durability", "order", "integrity")
SCHEDULES_MAX = 30_000
SECONDS_MAX = 900.0
PROCESSES_S = 60.0
CONTROL_SCHEDULES = 6_000
SPEED_SCHEDULES = 600
REPLAYS = 50
_WAL_RESET = next(advisory for advisory in ADVISORIES if advisory.name == "wal-reset")


class Bar(msgspec.Struct, frozen=True):
    """One figure and what is wanted of it."""

    name: str
    value: str
    wanted: str
    met: bool

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.name}: {self.value}; wanted: {self.wanted}: {'met' if self.met else 'NOT MET'}"


def bench_schedules(
    *, seed: int, rounds: int, workspace: str | None = None, engines: Sequence[str] = ("",)
) -> Iterator[Bar]:
    """Yield the bars of each engine: "" is this Python's, others are directories of apsw; 2 seeds a round.

    Threads act, and where there is fork, processes.
    """
    roads = ("threads", "processes") if sys.platform == "linux" else ("threads",)
    with Workspace(workspace) as space:
        for engine, actors in itertools.product(engines, roads):
            root = space.make_run() / "work"
            greeting = Greeting(GENERIC, "", str(root), apsw=engine, road=actors)
            with Explorer(greeting) as explorer:
                version = explorer.engine.partition(" ")[0]
                if _WAL_RESET.covers(tuple(map(int, version.split(".")))):
                    yield from _affected(explorer, version, seed, 2 * rounds, actors)
                else:
                    yield _control(explorer, version, seed, rounds, actors)
            if actors == "threads":
                yield _speed(space.make_run() / "work", engine, version, seed, rounds, actors)


def _affected(explorer: Explorer, version: str, seed: int, seeds: int, actors: str) -> Iterator[Bar]:
    threads = actors == "threads"
    seconds = SECONDS_MAX if threads else PROCESSES_S
    found: list[tuple[Failure, float]] = []
    replayed: list[str] = []
    sizes: list[int] = []
    for number in range(seed, seed + seeds):
        started = time.monotonic()
        explored = explorer.explore(str(DEFAULT_STRATEGY), number, Budget(seconds, SCHEDULES_MAX, oracles=LEDGER))
        for failure in explored.failures[:1]:
            found.append((failure, time.monotonic() - started))
            if not explorer.replay(failure.schedule, REPLAYS).exact:
                replayed.append(failure.schedule.name)
            sizes.append(explorer.shrink(failure.schedule).schedule.script.size)
    name = f"SQLite {version}, {actors}, {DEFAULT_STRATEGY}"
    if not found:
        yield Bar(f"{name}: WAL-reset found", f"by 0 of {seeds} seeds", "by all", met=False)
        return
    schedules = statistics.median(failure.number + 1 for failure, _ in found)
    worst = max(failure.number + 1 for failure, _ in found)
    median = statistics.median(failure.cpu_s if threads else took for failure, took in found)
    wanted, limit = (seeds, 3.0) if threads else (round(0.8 * seeds), PROCESSES_S)
    yield Bar(
        f"{name}: WAL-reset found",
        f"by {len(found)} of {seeds} seeds, median {median:.1f} s{' of CPU' if threads else ''}, "
        f"{schedules:.0f} schedules, worst {worst}",
        f"by {wanted} of {seeds}, median under {limit:g} s",
        met=len(found) >= wanted and median < limit,
    )
    yield Bar(
        f"{name}: replayed call for call",
        f"{len(found) - len(replayed)} of {len(found)} failures {REPLAYS}/{REPLAYS}",
        "all",
        met=not replayed,
    )
    yield Bar(
        f"{name}: steps of the smallest schedule",
        f"{min(sizes)} to {max(sizes)}, median {statistics.median(sizes):g}",
        "at most 6",
        met=max(sizes) <= 6,
    )


def _control(explorer: Explorer, version: str, seed: int, rounds: int, actors: str) -> Bar:
    budget = Budget(SECONDS_MAX, CONTROL_SCHEDULES * rounds)
    explored = explorer.explore(str(DEFAULT_STRATEGY), seed, budget)
    counted = explored.counted
    return Bar(
        f"SQLite {version}, {actors}, {DEFAULT_STRATEGY}: control",
        f"{len(explored.failures)} failures in {counted.schedules} schedules, {counted.judged} of them judged",
        "none",
        met=not explored.failures and not explored.stuck and counted.judged == counted.schedules > 0,
    )


def _speed(root: Path, engine: str, version: str, seed: int, rounds: int, actors: str) -> Bar:
    """Schedules of 3 actors with up to 4 steps, to the last judged one; no finding ends it."""
    rates = []
    with Explorer(Greeting(GENERIC, "", str(root), apsw=engine, road=actors, lanes=(3, 3))) as explorer:
        for number in range(rounds):
            budget = Budget(SECONDS_MAX, SPEED_SCHEDULES, failures_max=1_000_000)
            counted = explorer.explore(str(DEFAULT_STRATEGY), seed + number, budget).counted
            rates.append(counted.schedules / counted.cpu_s if counted.cpu_s else 0.0)
    rate = statistics.median(rates)
    return Bar(
        f"SQLite {version}, {actors}: schedules of 3 actors with up to 4 steps",
        f"{rate:.0f} a second of CPU, {min(rates):.0f} to {max(rates):.0f}",
        "at least 500",
        met=rate >= 500,
    )
