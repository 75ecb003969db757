"""Planted bugs: a broken program and its correct twin, and how many trials it takes to tell them apart."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from crashlab.decide.bench import import_named
from crashlab.decide.config import Config
from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import ConfigError, CrashlabError, UsageError, did_you_mean
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.seed import subseed
from crashlab.states.models import Model, Policy
from crashlab.writers.load import extend_path

__all__ = ["Planted", "PlantedResult", "Road", "Told", "run_planted", "seek"]

TWIN_TRIALS_MIN = 3
EXPLORE_S = 60.0
STATES_MAX = 20_000
DIRECT_MAX = 400


class Road(StrEnum):
    """Where a planted bug shows: a real process under a fault, or the computed states of a recorded run."""

    REAL = "real"
    KILL = "trace: kill"
    POWER_LOSS = "trace: power loss"


@dataclass(frozen=True)
class Planted:
    """A program with one bug, and what catches it.

    `workload` and `twin` are `module:attr`: the broken program and the good one, under the same parameters.
    `oracle` and `invariant` name the finding. On the real road `fault` is the text of the fault that brings it
    out, and a bug that needs luck shows within `trials` different seeds; on the trace road each trial is one
    recorded run, all of whose crash states are looked at.
    """

    id: str
    title: str
    broken: str
    oracle: str
    invariant: str
    module: str
    fault: str = "none"
    trials: int = 10
    road: Road = Road.REAL

    @property
    def workload(self) -> str:
        """The broken program as a subject's workload."""
        return f"{self.module}:workload"

    @property
    def twin(self) -> str:
        """The good program under the same parameters."""
        return f"{self.module}:twin"

    @property
    def check(self) -> str:
        """`oracle/invariant`."""
        return f"{self.oracle}/{self.invariant}"


class Told(StrEnum):
    """What became of a planted bug: CAUGHT and the twin clean, or what went wrong."""

    CAUGHT = "caught"
    NOT_CAUGHT = "not caught"
    TWIN_NOT_CLEAN = "twin not clean"
    ERROR = "error"


class PlantedResult(msgspec.Struct, frozen=True):
    """One row: after how many trials it was caught, what its twin did in how many, and how long both took."""

    id: str
    title: str
    check: str
    road: str
    fault: str
    told: Told
    trials: int
    twin_trials: int
    seconds: float
    detail: str = ""


Found = Iterator[tuple[set[str], str]]
"""For each trial the invariants that it violated, and why it could not be judged (or empty)."""


def run_planted(
    planted: Sequence[Planted],
    workspace: Workspace,
    *,
    path: tuple[str, ...] = (),
    seed: int = 0,
    slots: int = 2,
    seconds: float = 60.0,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Iterator[PlantedResult]:
    """Look for every planted bug, and at every twin; results in the order given. `seconds` bounds each bug."""
    with ThreadPoolExecutor(max(1, slots), thread_name_prefix="planted") as executor:
        jobs = [executor.submit(seek, each, workspace, path=path, seed=seed, seconds=seconds) for each in planted]
        for done, job in enumerate(jobs, 1):
            yield job.result()
            progress(done, len(jobs))


def seek(planted: Planted, workspace: Workspace, *, path: tuple[str, ...], seed: int, seconds: float) -> PlantedResult:
    """Look for one planted bug until it is found, its trials are used up, or `seconds` are over; then at its twin."""
    began = time.monotonic()
    tried = twin_tried = 0
    told, detail = Told.NOT_CAUGHT, ""
    others: set[str] = set()
    try:
        for found, error in _trials(planted, planted.workload, workspace, path, seed, began + seconds):
            tried += 1
            others |= found
            detail = error or detail
            if planted.check in found:
                told, detail = Told.CAUGHT, ""
                break
        if told is Told.NOT_CAUGHT and others:
            detail = f"found instead: {', '.join(sorted(others))}"
        if told is Told.CAUGHT:
            wanted = max(tried, 1 if planted.road is not Road.REAL else TWIN_TRIALS_MIN)
            trials = _trials(planted, planted.twin, workspace, path, seed, began + 2 * seconds)
            for found, error in itertools.islice(trials, wanted):
                twin_tried += 1
                if found or error:
                    told, detail = Told.TWIN_NOT_CLEAN, error or f"the twin violates {', '.join(sorted(found))}"
                    break
    except CrashlabError as error:
        told, detail = Told.ERROR, str(error)
    return PlantedResult(
        planted.id,
        planted.title,
        planted.check,
        str(planted.road),
        planted.fault if planted.road is Road.REAL else "every crash point",
        told,
        tried,
        twin_tried,
        time.monotonic() - began,
        detail,
    )


def _trials(
    planted: Planted, workload: str, workspace: Workspace, path: tuple[str, ...], seed: int, end: float
) -> Found:
    subject = Subject(planted.id, workload, path)
    seeds = (subseed(seed, planted.id, number) for number in itertools.count())
    limit = max(planted.trials, TWIN_TRIALS_MIN)
    looks = (
        _real(planted, subject, workspace, seeds)
        if planted.road is Road.REAL
        else _computed(planted, subject, workspace, seeds)
    )
    for found in itertools.islice(looks, limit):
        yield found
        if time.monotonic() > end:
            return


def _real(planted: Planted, subject: Subject, workspace: Workspace, seeds: Iterator[int]) -> Found:
    fault_class = parse_fault(planted.fault).fault_class
    road = RealRoad(subject, workspace)
    try:
        for number, seed in enumerate(seeds):
            outcome = road.run(Case(subject.name, seed, planted.fault), f"{subject.name}-{number}", keep=False)
            found = {f"{each.identity.oracle}/{each.identity.invariant}" for each in outcome.findings}
            judged = outcome.verdict in (Verdict.PASS, Verdict.FAIL)
            yield found, "" if judged else f"{fault_class}: {outcome.error or outcome.fired}"
    finally:
        road.close()


def _computed(planted: Planted, subject: Subject, workspace: Workspace, seeds: Iterator[int]) -> Found:
    policy = Policy.KILL if planted.road is Road.KILL else Policy.SUBSET
    models = (Model(policy, states_max=STATES_MAX, direct_max=DIRECT_MAX),)
    road = TraceRoad(subject, workspace)
    try:
        for seed in seeds:
            explored = road.explore(Case(subject.name, seed, "none"), models, seconds=EXPLORE_S, keep=False)
            yield {identity.partition(" · ")[0] for identity in explored.identities}, ""
    finally:
        road.close()


def registered(config: Config) -> dict[str, tuple[Planted, ...]]:
    """Return the planted bugs that a configuration registers, by its names for them.

    Raises:
        ConfigError: one does not import.
        UsageError: one is no tuple of `Planted`, or an id is there twice.
    """
    if not config.planted:
        return {}
    extend_path(config.import_path)
    groups = {
        name: check_planted(import_named(target, f"planted.{name}"), f"planted.{name}")
        for name, target in config.planted.items()
    }
    check_planted(tuple(each for group in groups.values() for each in group), "[planted]")
    return groups


def controls_of(config: Config, subject: str) -> tuple[Planted, ...]:
    """Return the planted bugs that a subject's gate must catch.

    Raises:
        ConfigError: it names one that nothing registers, or one does not import.
    """
    wanted = config.subjects[subject].controls if subject in config.subjects else []
    if not wanted:
        return ()
    known = {each.id: each for group in registered(config).values() for each in group}
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"subjects.{subject}.controls names {name!r}, which nothing in [planted] has{did_you_mean(name, known)}"
            )
    return tuple(known[name] for name in wanted)


def check_planted(found: object, where: str) -> tuple[Planted, ...]:
    """Return the planted bugs that a configuration's `module:attr` led to.

    Raises:
        UsageError: it is no tuple of `Planted`, or two have one id.
    """
    if not isinstance(found, tuple) or not all(isinstance(each, Planted) for each in found):
        raise UsageError(f"{where} is {type(found).__name__}, expected a tuple of crashlab.decide.planted.Planted")
    ids = [each.id for each in found]
    twice = {each for each in ids if ids.count(each) > 1}
    if twice:
        raise UsageError(f"{where}: {', '.join(sorted(twice))} twice; expected one id each")
    return found
