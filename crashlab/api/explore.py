"""`explore`: record a writer once, compute what kills and power losses at every point could leave, judge all of it."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from crashlab.api.explored import CrashFinding, ExploreResult, shell
from crashlab.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from crashlab.api.explore_lanes import Lanes
    from crashlab.engine.program.explore import Explored, Found
    from crashlab.engine.workspace import Workspace
    from crashlab.engine.writer.record import Run, Writer

__all__ = ["FAULTS", "STATES_DEFAULT", "explore"]

FAULTS: Mapping[str, str] = {"kill": "kill", "power": "torn"}
STATES_DEFAULT = 5_000
STATES_MAX = 100_000_000
RESULTS = Path(".crashlab")
SHRINK_TRIES = 200
REDUCE_TRIES = 5_000
FINDINGS_KEPT = 20
_ROUNDS = (500, 4_000, 32_000, 256_000, 2_000_000)
_GROWTH = 4.0

Commands = Callable[[Path, str], Mapping[str, str]]


def explore(
    writer: "Writer | Lanes",
    *,
    checks: Callable[..., Any] | Iterable[Callable[..., Any]] = (),
    faults: str | Sequence[str] = ("kill", "power"),
    budget: int | str = STATES_DEFAULT,
    seed: int = 1,
    arguments: Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    ack_on: str = "",
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
    replay: str | Path | None = None,
    reduce: str | Path | None = None,
    commands: Commands | None = None,
    schedules: bool = False,
    setup: Callable[..., Any] | None = None,
    strategy: str = "bpr",
) -> ExploreResult:
    """Run a writer once in a private directory, and judge every crash that could have hit it.

    `writer`: a function, plain or `async`, or a script (a path, or a list of words). A function gets, by the name of
    a parameter: `db` or `path`, where to put its database; `directory`, the private directory; `ack`, a function to
    call with a plain value when something is promised. A value that it yields is an ack as well. Other parameters
    take their values from `arguments`. It runs in a process of its own: what it closes over is copied there. A
    script is run in the private directory; lines of output that match `ack_on` are its acks.

    Judged without a line of the user's: a recovered database is what it was after some commit, at or after the last
    one that its settings, or an ack, promised; files that rows name are there. `checks` are functions that get, by
    name: `db`, a connection to a recovered copy; `path`; `directory`; `acked`, the values promised by then; `fault`,
    "kill" or "power". They raise AssertionError, or return problems.

    `faults`: "kill" (the process dies), "power" (what is not synced is lost in part). `budget`: crash states of each
    database under each fault, or a duration such as "20s" in which ever more of them are looked at; only a
    number gives the same answer on any machine. `start`: a directory whose copy the writer begins with. `timeout`:
    seconds for the writer. `results`: where failing cases go, None keeps none. `replay`: judge a kept case instead
    of running the writer. `reduce`: make a kept case smaller, beside it.

    `schedules`: the writer is a list of functions, or a dict of names to them. They run beside each other, one at a
    time, in many orders: control may pass before each call of SQLite to the operating system. Nothing is killed; a
    function that raises where it would not alone is a finding too (`lane/raises`). `setup` makes their database
    ready, once. `budget` counts schedules (1000 unless given), `strategy` draws them. Each schedule begins anew in
    the same Python: what functions keep in their modules stays.

    Raises:
        UsageError: a bad value, or something that cannot be sent to another process.
        SubjectError: the writer failed, or a check fails without any fault; the traceback is in the message.
        LabError, LimitError: it could not be recorded or judged.
    """
    __tracebackhide__ = True
    from crashlab.engine.workspace import Workspace
    from crashlab.engine.writer.checks import make_checks
    from crashlab.engine.writer.record import name_of, require_outside

    require_outside()
    if schedules or setup is not None:
        from crashlab.api.explore_lanes import SCHEDULES_DEFAULT, explore_lanes

        _check_lanes(schedules, faults, ack_on, start)
        return explore_lanes(
            cast("Lanes", writer),
            setup=setup,
            checks=checks,
            budget=SCHEDULES_DEFAULT if budget == STATES_DEFAULT else budget,
            seed=seed,
            arguments=arguments or {},
            strategy=strategy,
            results=None if results is None else Path(results),
            replay=None if replay is None else Path(replay),
            reduce=None if reduce is None else Path(reduce),
            commands=commands,
        )
    alone = cast("Writer", writer)
    asked = _Asked(name_of(alone), make_checks(checks), check_faults(faults), seed, commands)
    counts, seconds = _budget(budget)
    with Workspace() as space:
        kept = reduce if reduce is not None else replay
        if kept is not None:
            return _judge_saved(asked, Path(kept), space, reduce=reduce is not None)
        from crashlab.engine.writer.record import record_writer

        begun = time.monotonic()
        run = record_writer(
            alone,
            space,
            arguments=arguments or {},
            start=None if start is None else Path(start),
            timeout_s=timeout,
            seed=seed,
            ack_on=ack_on,
        )
        for number, states in enumerate(counts):
            round_begun = time.monotonic()
            found, result = _look(asked, run, states, space, space.root / f"round{number}")
            now = time.monotonic()
            if found or result.exhaustive or now - begun + _GROWTH * (now - round_begun) > seconds:
                break
        return _tell(asked, run, found, result, space, None if results is None else Path(results))


class _Asked(msgspec.Struct, frozen=True):
    subject: str
    checks: "tuple[Any, ...]"
    faults: tuple[str, ...]
    seed: int
    commands: Commands | None


def _check_lanes(schedules: bool, faults: str | Sequence[str], ack_on: str, start: object) -> None:
    """Refuse what belongs to the other kind of exploration."""
    if not schedules:
        raise UsageError("setup=: only with schedules=True; a writer makes its database itself")
    if tuple((faults,) if isinstance(faults, str) else faults) != tuple(FAULTS):
        raise UsageError("faults=: schedules=True looks at orders only, and injects no fault; explore each function")
    if ack_on or start is not None:
        raise UsageError(f"{'ack_on' if ack_on else 'start'}=: not with schedules=True; use ack() or setup=")


def check_faults(faults: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of faults.

    Raises:
        UsageError: one that is unknown, or none.
    """
    names = tuple(dict.fromkeys((faults,) if isinstance(faults, str) else faults))
    for name in names:
        if name not in FAULTS:
            raise UsageError(f"faults: {name!r}; there are: {', '.join(FAULTS)}{did_you_mean(str(name), FAULTS)}")
    if not names:
        raise UsageError(f"faults: none given; there are: {', '.join(FAULTS)}")
    return names


def _budget(budget: int | str) -> tuple[Sequence[int], float]:
    """Return the numbers of states to try in turn, and how many seconds they may take together."""
    if isinstance(budget, str):
        from crashlab.decide.duration import parse_duration

        return _ROUNDS, parse_duration(budget, "budget")
    if isinstance(budget, bool) or not isinstance(budget, int) or not 1 <= budget <= STATES_MAX:
        raise UsageError(f"budget={budget!r}: expected a number of crash states, or a duration such as '20s'")
    return (budget,), 0.0


def _look(
    asked: _Asked, run: "Run", states: int, space: "Workspace", scratch: Path
) -> "tuple[list[Found], ExploreResult]":
    """Explore all databases of a run once."""
    from crashlab.engine.program.explore import Budget, explore_program
    from crashlab.engine.program.record import Recording
    from crashlab.engine.writer.checks import Checks
    from crashlab.engine.writer.judge import check_states
    from crashlab.engine.writer.record import main_database
    from crashlab.states.models import Policy

    policies = tuple(Policy(FAULTS[fault]) for fault in asked.faults)
    budget = Budget(states=states, direct=min(states, 2_000), seed=asked.seed)
    assert run.ran is not None
    explored = explore_program(Recording(run.directory, run.ran), asked.subject, budget, scratch / "history")
    if not explored:
        return [], ExploreResult(asked.subject, asked.faults, missed=_why_missed(run), seed=asked.seed)
    wanted = {policy.value for policy in policies}
    found = [each for one in explored for each in one.found if _fault_of(each) in asked.faults]
    coverage = [each for one in explored for each in one.coverage if each.policy in wanted]
    applied: Mapping[str, int] = {}
    if asked.checks:
        database = main_database([one.database for one in explored])
        checks = Checks(run, asked.checks, database, asked.subject, scratch / "checked")
        checks.require_sound()
        more, _ = check_states(run, database, checks, policies, budget, scratch / "checks")
        found += more
        applied = checks.applied
    return found, ExploreResult(
        asked.subject,
        asked.faults,
        states=sum(each.distinct for each in coverage),
        classes=_classes(explored, wanted),
        recoveries=sum(each.recoveries for each in coverage),
        failed=sum(each.states for each in found),
        commits=sum(one.commits for one in explored),
        acks=len(run.acks),
        checks=dict(applied),
        exhaustive=all(not each.moments_sampled and not each.unjudged for each in coverage),
        seed=asked.seed,
    )


def _classes(explored: "Iterable[Explored]", policies: set[str]) -> int:
    return sum(
        each.classes + each.disks + each.images for one in explored for each in one.coverage if each.policy in policies
    )


def _fault_of(found: "Found") -> str:
    return "kill" if found.state.kind == "kill" else "power"


def _why_missed(run: "Run") -> str:
    untracked = run.ran.untracked if run.ran else ()
    where = f"; it used {untracked[0][0]}, in a temporary directory, which is not judged" if untracked else ""
    return (
        "the writer committed nothing to a database in its private directory, so no fault could hit anything; let it "
        f"put its database at the path that it is given{where}"
    )


def _tell(
    asked: _Asked, run: "Run", found: "list[Found]", result: ExploreResult, space: "Workspace", results: Path | None
) -> ExploreResult:
    """Make each finding smaller, keep it, and put it into words."""
    from crashlab.engine.environment import environment_stamp
    from crashlab.engine.rundir import make_run_directory
    from crashlab.engine.writer.checks import Checks
    from crashlab.engine.writer.judge import StateJudge, smaller
    from crashlab.engine.writer.saved import save

    result = changed(result, environment=environment_stamp(space.root))
    if not found:
        return result
    records = None if results is None else make_run_directory(results.absolute(), "explore")
    told = []
    for number, each in enumerate(found[:FINDINGS_KEPT]):
        scratch = space.root / f"smaller{number}"
        checks = Checks(run, asked.checks, each.database, asked.subject, scratch / "checked") if asked.checks else None
        judge = StateJudge(run, each.database, checks, asked.subject, scratch)
        least, _ = smaller(run, each, judge, asked.subject, SHRINK_TRIES)
        case = None if records is None else save(records / "cases", number, run, least, asked.subject)
        told.append(_finding(asked, run, least, case))
    return changed(result, findings=tuple(told), records=records)


def _finding(asked: _Asked, run: "Run", found: "Found", case: Path | None) -> CrashFinding:
    from crashlab.engine.writer.judge import losses

    identity, state = found.finding.identity, found.state
    moment = state.op
    step = run.trace.describe(moment) if moment < len(run.trace) else "the end of the run"
    acked = run.acked(moment)
    after = f", after ack {acked[-1]!r}" if acked else ", before the first ack" if run.acks else ""
    invariant = f"{identity.oracle}/{identity.invariant}"
    return CrashFinding(
        invariant,
        identity.fault_class,
        found.finding.message,
        str(state)[:200],
        f"before {step}{after}",
        tuple(losses(run, state)),
        found.database,
        found.states,
        case,
        {} if case is None else (asked.commands or _commands)(case, invariant),
    )


def _commands(case: Path, invariant: str) -> Mapping[str, str]:
    if invariant.startswith("history/"):
        return {"replay": shell("crashlab", "replay", str(case))}
    return {"replay": f"explore(…, replay={str(case)!r})", "reduce": f"explore(…, reduce={str(case)!r})"}


def _judge_saved(asked: _Asked, case: Path, space: "Workspace", *, reduce: bool) -> ExploreResult:
    """Judge a kept case with today's checks, or make it smaller."""
    from crashlab.engine.program.explore import Found
    from crashlab.engine.writer.checks import Checks
    from crashlab.engine.writer.judge import StateJudge, smaller
    from crashlab.engine.writer.saved import load_saved, save
    from crashlab.states.state import parse_state

    loaded, run = load_saved(case)
    scratch = space.root / "saved"
    checks = Checks(run, asked.checks, loaded.database, loaded.subject, scratch / "checked") if asked.checks else None
    judge = StateJudge(run, loaded.database, checks, loaded.subject, scratch)
    state = parse_state(loaded.fault)
    found = [Found(finding, loaded.database, state, 1) for finding in judge.judge(state)]
    kept = [each for each in found if str(each.finding.identity) == loaded.identity] or found
    if not reduce:
        told = [_finding(asked, run, each, case) for each in kept]
    else:
        if not kept:
            raise UsageError(f"case {case}: {loaded.identity} does not fail here, so there is nothing to reduce")
        least, _ = smaller(run, kept[0], judge, loaded.subject, REDUCE_TRIES)
        there = case
        if least.state != state:
            there = save(case.parent / f"{case.name}-reduced", 0, run, least, loaded.subject)
        told = [_finding(asked, run, least, there)]
    return ExploreResult(
        loaded.subject,
        ("kill" if state.kind == "kill" else "power",),
        states=1,
        classes=1,
        recoveries=1,
        failed=len(told),
        acks=len(run.acks),
        findings=tuple(told),
        records=case.parent,
        seed=asked.seed,
    )
