"""`explore(..., schedules=True)`: several functions beside each other, in many orders that a seed decides."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from crashlab.api.explored import ExploreResult, ScheduleFinding
from crashlab.errors import SubjectError, UsageError

if TYPE_CHECKING:
    from crashlab.engine.schedules.campaign import Plan, Result
    from crashlab.engine.workspace import Workspace
    from crashlab.model.finding import Finding
    from crashlab.model.schedule import Schedule
    from crashlab.writers.function.lanes import LaneFunction

__all__ = ["Lanes", "explore_lanes", "name_of_lanes"]

Lanes: TypeAlias = "Sequence[Callable[..., Any]] | Mapping[str, Callable[..., Any]]"
Commands = Callable[[Path, str], Mapping[str, str]]

NO_FAULT = "any order of their calls"
SCHEDULES_DEFAULT = 1000
SECONDS_MAX = 120.0
"""Seconds at most for a budget of schedules."""
REPLAYS = 20
_UNFIT = re.compile(r"[^A-Za-z0-9_.:-]+")


def explore_lanes(
    writer: Lanes,
    *,
    setup: Callable[..., Any] | None,
    checks: Callable[..., Any] | Iterable[Callable[..., Any]],
    budget: int | str,
    seed: int,
    arguments: Mapping[str, Any],
    strategy: str,
    results: Path | None,
    replay: Path | None,
    reduce: Path | None,
    commands: Commands | None,
) -> ExploreResult:
    """See `crashlab.api.explore.explore`.

    Raises:
        UsageError: a bad value, or something that cannot be sent to another process.
        SubjectError: the functions fail even one after another.
        TapUnavailableError, LabError, LimitError: schedules cannot be run here.
    """
    from crashlab.engine.schedules.campaign import Plan, run_schedules
    from crashlab.engine.subject import Subject
    from crashlab.engine.workspace import Workspace
    from crashlab.writers.function.lanes import PACKED, WORKLOAD

    lanes = _lanes(writer, arguments)
    with Workspace() as space:
        packed = space.root / "functions.packed"
        packed.write_bytes(_packed(setup, lanes, checks, arguments))
        subject = Subject(name_of_lanes(writer), WORKLOAD, params={PACKED: str(packed)})
        plan = Plan(subject, strategy, seed, _budget(budget), steps_max=1, replays=REPLAYS)
        asked = _Asked(subject.name, seed, commands)
        kept = reduce if reduce is not None else replay
        if kept is not None:
            return _again(asked, plan, kept, space, make_smaller=reduce is not None)
        _require_sound(plan, lanes, space)
        records = None
        if results is not None:
            from crashlab.engine.rundir import make_run_directory

            records = make_run_directory(results.absolute(), "explore")
        result = run_schedules(plan, space.make_run(), keep=None if records is None else records / "cases")
        return _told(asked, plan, result, records)


class _Asked(msgspec.Struct, frozen=True):
    subject: str
    seed: int
    commands: Commands | None


def name_of_lanes(writer: Lanes) -> str:
    """Return a short name of the functions for findings."""
    return "-".join(name for name, _ in _named(writer))[:100]


def _named(writer: Any) -> list[tuple[str, Callable[..., Any]]]:
    """The functions by names that no two have."""
    if isinstance(writer, Mapping):
        given = [(str(name), function) for name, function in writer.items()]
    elif isinstance(writer, Sequence) and not isinstance(writer, str | bytes):
        given = [(getattr(function, "__name__", "lane"), function) for function in writer]
    else:
        raise UsageError("schedules=True: expected several functions as the writer, a list or a dict of names")
    found: dict[str, Callable[..., Any]] = {}
    for name, function in given:
        if not callable(function):
            raise UsageError(f"schedules=True: {function!r} is no function")
        plain = _UNFIT.sub("-", name).strip("-.:_") or "lane"
        number = 2
        unique = plain
        while unique in found:
            unique, number = f"{plain}-{number}", number + 1
        found[unique] = function
    return list(found.items())


def _lanes(writer: Any, arguments: Mapping[str, Any]) -> "list[LaneFunction]":
    from crashlab.model.schedule import ACTORS_MAX
    from crashlab.writers.function.lanes import LaneFunction

    named = _named(writer)
    if not 2 <= len(named) <= ACTORS_MAX:
        raise UsageError(f"schedules=True: {len(named)} functions, expected 2 to {ACTORS_MAX}")
    for name, function in named:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(f"writer {name}: it is async; in schedules each lane is a thread, so expected a function")
    return [LaneFunction(name, function, _bound(function, arguments)) for name, function in named]


def _bound(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    from crashlab.writers.function.places import bind

    own = inspect.signature(function).parameters
    return bind(function, {name: value for name, value in arguments.items() if name in own})


def _packed(
    setup: Callable[..., Any] | None, lanes: "list[LaneFunction]", checks: Any, arguments: Mapping[str, Any]
) -> bytes:
    from crashlab.engine.writer.checks import make_checks
    from crashlab.writers.function.lanes import LaneCheck, LaneFunction, pack_lanes

    ready = None if setup is None else LaneFunction("setup", setup, _bound(setup, arguments))
    known = {name for lane in (*lanes, ready) if lane is not None for name in lane.arguments}
    for name in arguments:
        if name not in known:
            raise UsageError(f"arguments: no function has a parameter {name!r}")
    return pack_lanes(ready, lanes, [LaneCheck(each.name, each.function, each.gets) for each in make_checks(checks)])


def _budget(budget: int | str) -> Any:
    from crashlab.engine.schedules.explore import Budget

    if isinstance(budget, str):
        from crashlab.decide.duration import parse_duration

        return Budget(parse_duration(budget, "budget"))
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise UsageError(f"budget={budget!r}: expected a number of schedules, or a duration such as '20s'")
    return Budget(SECONDS_MAX, schedules=budget)


def _require_sound(plan: "Plan", lanes: "list[LaneFunction]", space: "Workspace") -> None:
    """Run the functions one after another; what fails there is no matter of schedules."""
    from crashlab.engine.schedules.campaign import greeting_for
    from crashlab.engine.schedules.client import Explorer
    from crashlab.model.schedule import Actor, Schedule, Script

    assert plan.subject is not None
    script = Script(plan.subject.name, plan.seed, tuple(Actor(lane.name, (0,)) for lane in lanes), plan.subject.params)
    with Explorer(greeting_for(plan, space.make_run(), calibrate=False)) as explorer:
        ran = explorer.replay(Schedule(script, (), explorer.engine), 1).last
    if ran.problem:
        raise SubjectError(f"{plan.subject.name}: {ran.problem}")
    for finding in ran.findings:
        raise SubjectError(
            f"{_invariant(finding)} fails when the functions run one after another, in the order given: "
            f"{_message(finding)}"
        )


def _told(asked: _Asked, plan: "Plan", result: "Result", records: Path | None) -> ExploreResult:
    from crashlab.model.finding import Verdict
    from crashlab.report.lanes import draw_lanes

    counted = result.counted
    missed = ""
    if result.verdict is Verdict.INCONCLUSIVE:
        why = next(iter(counted.problems), "") or (result.stuck[0][1] if result.stuck else "nothing was judged")
        missed = f"not every schedule could be judged: {why}"
    findings = []
    for found in result.found:
        draw_lanes(found)
        case = Path(found.case_dir) if found.case_dir else None
        told = f"reproduced {found.reproduced}/{found.replays}, call for call {found.identical}/{found.replays}"
        findings.append(_finding(asked, found.findings[0], found.small, found.note or told, found.story, case))
    return ExploreResult(
        asked.subject,
        (NO_FAULT,),
        states=counted.judged,
        classes=counted.judged,
        failed=len(findings),
        unit="schedules",
        findings=tuple(findings),
        missed=missed,
        seed=plan.seed,
        records=records,
    )


def _finding(
    asked: _Asked, finding: "Finding", schedule: "Schedule", replayed: str, story: str, case: Path | None
) -> ScheduleFinding:
    from crashlab.engine.schedules.story import program_text
    from crashlab.model.schedule import segments_text

    invariant = _invariant(finding)
    return ScheduleFinding(
        invariant,
        finding.identity.fault_class,
        _message(finding),
        segments_text(schedule.segments),
        program_text(schedule.script),
        (),
        "",
        1,
        case,
        {} if case is None else (asked.commands or _commands)(case, invariant),
        story,
        replayed,
    )


def _invariant(finding: "Finding") -> str:
    """The name as the user knows it: its own checks are its own."""
    oracle, invariant = finding.identity.oracle, finding.identity.invariant
    if oracle != "books":
        return f"{oracle}/{invariant}"
    return f"lane/{invariant}" if invariant == "raises" else f"check/{invariant}"


def _message(finding: "Finding") -> str:
    lines = finding.evidence.get("lines")
    return str(lines[0]) if finding.identity.oracle == "books" and lines else finding.message


def _commands(case: Path, _invariant: str) -> Mapping[str, str]:
    return {
        "replay": f"explore(…, schedules=True, replay={str(case)!r})",
        "reduce": f"explore(…, schedules=True, reduce={str(case)!r})",
    }


def _again(asked: _Asked, plan: "Plan", case: Path, space: "Workspace", *, make_smaller: bool) -> ExploreResult:
    """Run a kept schedule with the functions as they are now, or make it smaller."""
    from crashlab.engine.schedules.campaign import greeting_for
    from crashlab.engine.schedules.case import load_schedule_case, save_schedule_case
    from crashlab.engine.schedules.client import Explorer
    from crashlab.engine.schedules.story import tell

    assert plan.subject is not None
    loaded = load_schedule_case(case)
    params = {**loaded.script.params, **plan.subject.params}
    script = msgspec.structs.replace(loaded.script, params=params)
    schedule = msgspec.structs.replace(loaded, script=script)
    with Explorer(greeting_for(plan, space.make_run(), calibrate=False)) as explorer:
        there = case
        if make_smaller:
            shrunk = explorer.shrink(schedule)
            evidence = space.make_run()
            story = tell(script, explorer.tell(shrunk.schedule, evidence))
            there = save_schedule_case(case.parent, shrunk.schedule, schedule, shrunk.ran.findings, story, {}, evidence)
            schedule = shrunk.schedule
        again = explorer.replay(schedule, plan.replays)
        ran = explorer.tell(schedule)
    found = [each for each in again.last.findings if str(each.identity) == loaded.finding] or again.last.findings
    told = [_finding(asked, each, schedule, again.text, tell(schedule.script, ran), there) for each in list(found)[:1]]
    return ExploreResult(
        asked.subject,
        (NO_FAULT,),
        states=again.times,
        classes=1,
        failed=again.alike,
        unit="schedules",
        findings=tuple(told),
        seed=plan.seed,
        records=case.parent,
    )
