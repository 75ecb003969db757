"""Benches: figures side by side in one run, as ratios to what a user would do instead."""

import statistics
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import msgspec

from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import ConfigError, LabError
from crashlab.faults.kill import Kill
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.seed import rng_for, subseed
from crashlab.writers.launcher import Launcher
from crashlab.writers.order import Moment
from crashlab.writers.spawn import SpawnLauncher

ACKS_MAX = 20
"""The kills come at an ack from the first to this one."""


class Figure(msgspec.Struct, frozen=True):
    """One line of a bench: a rate beside its baseline's; `ratio` is the median over the rounds."""

    name: str
    rate: float
    baseline: float
    unit: str
    ratio: float
    ratio_min: float
    ratio_max: float
    rounds: int
    wanted: str = ""


def compare(
    name: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    *,
    rounds: int,
    unit: str,
    wanted: str = "",
) -> Figure:
    """Measure two rates in turn, `rounds` times, so that the machine's moods hit both."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    return Figure(
        name,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        unit,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        rounds,
        wanted,
    )


def bench_kills(subject: Subject, *, seed: int, rounds: int, workspace: str | None = None) -> Iterator[Figure]:
    """Real kill trials per second with one trial in flight, beside a fresh interpreter for each.

    Both import the same workload, kill at the same acks, and make the same checks in the same kind of
    judge's process; only the way to a running writer differs. One trial in flight keeps one core busy.
    """
    with Workspace(workspace) as space:
        warm = RealRoad(subject, space)
        naive = RealRoad(subject, space, launcher=_spawned)
        try:
            for road in (warm, naive):
                _trials(road, subject.name, seed, 2)  # start-up is not what is measured
            yield compare(
                "real kill trials, one in flight",
                lambda: _trials(warm, subject.name, seed, 150),
                lambda: _trials(naive, subject.name, seed, 12),
                rounds=rounds,
                unit="trials/s",
                wanted="at least 6 times subprocess.Popen([python, ...]), aim 10",
            )
        finally:
            warm.close()
            naive.close()


def _spawned(workload: str, path: tuple[str, ...]) -> Launcher:
    return SpawnLauncher(workload, path)


def _trials(road: RealRoad, subject: str, seed: int, count: int) -> float:
    started = time.perf_counter()
    for number in range(count):
        case_seed = subseed(seed, "bench", number)
        fault = Kill(Moment.ACK, n=rng_for(case_seed, "n").randint(1, ACKS_MAX))
        outcome = road.run(Case(subject, case_seed, str(fault)), f"bench-{number}", keep=False)
        if outcome.verdict is not Verdict.PASS:
            raise LabError(
                f"a bench's trial was {outcome.verdict}: {outcome.error or outcome.fired or outcome.findings}; "
                f"the subject must survive kills and run for at least {ACKS_MAX} acks"
            )
    return count / (time.perf_counter() - started)


def named_bench(target: str, name: str) -> Callable[..., Iterator[Figure]]:
    """Import a bench that a configuration registers as `module:attr`.

    Raises:
        ConfigError: it does not import.
    """
    found = import_named(target, f"bench.{name}")
    if not callable(found):
        raise ConfigError(f"bench.{name} = {target!r} is not callable")
    return found  # type: ignore[no-any-return]


def import_named(target: str, key: str) -> Any:
    """Import what a configuration registers under `key` as `module:attr`.

    Raises:
        ConfigError: it does not import.
    """
    module_name, _, attribute = target.partition(":")
    if not (module_name and attribute):
        raise ConfigError(f"{key} = {target!r}: expected the form 'module:attr', e.g. 'myapp.bench:bench_app'")
    try:
        return getattr(import_module(module_name), attribute)
    except Exception as error:  # it is somebody else's module: it may raise what it likes
        raise ConfigError(f"{key} = {target!r} does not import: {type(error).__name__}: {error}") from None
