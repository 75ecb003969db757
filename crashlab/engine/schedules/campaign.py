"""A campaign of schedules from its seed to its verdict: explore, make smaller, replay, tell, keep."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from crashlab.engine.environment import environment_stamp
from crashlab.engine.schedules.case import save_schedule_case
from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.explore import Budget, Counted, Failure
from crashlab.engine.schedules.generic import DRAWN, GENERIC
from crashlab.engine.schedules.orders import STEPS_MAX, Greeting
from crashlab.engine.schedules.processes.programs import Programs
from crashlab.engine.schedules.spans import Span, spans_of
from crashlab.engine.schedules.story import program_text, tell
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY
from crashlab.engine.schedules.watchdog import DEFAULT_LIMITS, RunLimits
from crashlab.engine.subject import Subject
from crashlab.errors import CrashlabError, LimitError
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding, Verdict
from crashlab.model.schedule import Schedule

__all__ = ["FAULTS", "Found", "Plan", "Result", "greeting_for", "run_schedules"]

REPLAYS = 50
FAULTS = f"{FaultClass.NONE.value}: interleavings only"


class Plan(msgspec.Struct, frozen=True):
    """What to explore, and how. `subject`: None for the generic workload. `apsw`: the directory of another SQLite."""

    subject: Subject | None = None
    strategy: str = str(DEFAULT_STRATEGY)
    seed: int = 1
    budget: Budget = Budget()
    apsw: str = ""
    actors: str = "threads"
    faults: tuple[str, ...] = ()
    programs: Programs | None = None
    foreign: tuple[str, ...] = ()
    mix: str = DRAWN
    steps_max: int = STEPS_MAX
    replays: int = REPLAYS
    limits: RunLimits = DEFAULT_LIMITS


class Found(msgspec.Struct, frozen=True):
    """One failure, made smaller: `small` was reached in `shrink_runs` runs, `story` tells it.

    `reproduced` of `replays` runs of it failed alike, `identical` were so call for call. `case_dir`: "" if not kept.
    `note`: what could not be done with it, "" for nothing. `spans`: the story in one line a segment, for a drawing.
    """

    number: int
    cpu_s: float
    as_found: Schedule
    small: Schedule
    findings: tuple[Finding, ...]
    shrink_runs: int = 0
    replays: int = 0
    reproduced: int = 0
    identical: int = 0
    story: str = ""
    case_dir: str = ""
    note: str = ""
    spans: tuple[Span, ...] = ()

    @property
    def program(self) -> str:
        """What the actors do in the smaller schedule."""
        return program_text(self.small.script)


class Result(msgspec.Struct, frozen=True):
    """A campaign's outcome.

    INCONCLUSIVE: nothing failed, and some schedules came to no end or could not be judged, or a kind of fault that was
    asked for never befell anybody.
    """

    verdict: Verdict
    subject: str
    engine: str
    actors: str
    strategy: str
    seed: int
    counted: Counted
    found: tuple[Found, ...] = ()
    stuck: tuple[tuple[int, str], ...] = ()
    faults: str = FAULTS


def greeting_for(plan: Plan, root: Path, *, calibrate: bool = True) -> Greeting:
    """Return what the process for schedules is told; it takes the directory `root` for itself."""
    subject = plan.subject
    return Greeting(
        subject.name if subject else GENERIC,
        subject.workload if subject else "",
        str(root),
        subject.path if subject else (),
        subject.params if subject else {},
        mix=plan.mix,
        steps_max=plan.steps_max,
        apsw=plan.apsw,
        road=plan.actors,
        limits=plan.limits,
        calibrate=calibrate,
        programs=plan.programs,
        foreign=plan.foreign,
    )


def run_schedules(
    plan: Plan,
    scratch: Path,
    *,
    keep: Path | None = None,
    told: Callable[[Counted], object] = lambda _: None,
) -> Result:
    """Explore, and make something of each failure; cases go below `keep`.

    `scratch`: an empty directory.

    Raises:
        TapUnavailableError, SubjectError, UsageError: there is nothing to explore here, saying why.
    """
    with Explorer(greeting_for(plan, scratch / "work")) as explorer:
        explored = explorer.explore(plan.strategy, plan.seed, plan.budget, faults=plan.faults, told=told)
        found = tuple(
            _made_of(explorer, failure, plan, scratch / f"evidence-{place}", keep)
            for place, failure in enumerate(explored.failures)
        )
        counted = explored.counted
        verdict = Verdict.PASS
        if found:
            verdict = Verdict.FAIL
        elif explored.stuck or counted.problems or not counted.judged or set(plan.faults) - counted.befell.keys():
            verdict = Verdict.INCONCLUSIVE
        return Result(
            verdict,
            plan.subject.name if plan.subject else GENERIC,
            explorer.engine,
            plan.actors,
            plan.strategy,
            plan.seed,
            counted,
            found,
            tuple(explored.stuck),
            _faults_text(plan, counted),
        )


def _faults_text(plan: Plan, counted: Counted) -> str:
    if not plan.faults:
        return FAULTS
    befell = [f"{kind} in {counted.befell.get(kind, 0)} schedules" for kind in plan.faults]
    return f"faults: {', '.join(befell)}; missed in {counted.missed}"


def _made_of(explorer: Explorer, failure: Failure, plan: Plan, evidence: Path, keep: Path | None) -> Found:
    bare = Found(failure.number, failure.cpu_s, failure.schedule, failure.schedule, failure.findings)
    try:
        shrunk = explorer.shrink(failure.schedule)
        again = explorer.replay(shrunk.schedule, plan.replays)
        evidence.mkdir(parents=True)
        ran = explorer.tell(shrunk.schedule, evidence)
        story = tell(shrunk.schedule.script, ran)
        found = Found(
            failure.number,
            failure.cpu_s,
            failure.schedule,
            shrunk.schedule,
            shrunk.ran.findings,
            shrunk.runs,
            again.times,
            again.alike,
            again.identical,
            story,
            spans=tuple(spans_of(ran)),
        )
    except CrashlabError as error:  # a program that does something else each time is still one that failed
        return msgspec.structs.replace(bare, note=str(error))
    if keep is None:
        return found
    try:
        stamp = {**environment_stamp(keep.parent), "engine": shrunk.schedule.engine}
        saved = save_schedule_case(keep, shrunk.schedule, failure.schedule, shrunk.ran.findings, story, stamp, evidence)
    except LimitError as error:
        return msgspec.structs.replace(found, note=str(error))
    return msgspec.structs.replace(found, case_dir=str(saved))
