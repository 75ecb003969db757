"""A recipe on the trace road: one recorded run of it, then every crash of its second half."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crashlab.api.explore import FAULTS, SHRINK_TRIES, check_faults
from crashlab.api.explored import CrashFinding, ExploreResult
from crashlab.engine.environment import environment_stamp
from crashlab.engine.program.explore import Found
from crashlab.engine.rundir import make_run_directory
from crashlab.engine.workspace import Workspace
from crashlab.engine.writer.judge import losses, smaller
from crashlab.engine.writer.record import Run, name_of, record_writer, require_outside
from crashlab.engine.writer.saved import load_saved, save
from crashlab.engine.writer.walk import JudgeDirectory, Walk
from crashlab.errors import LabError, UsageError
from crashlab.states.models import Policy
from crashlab.states.state import parse_state

__all__ = ["RESULTS", "STATES_DEFAULT", "How", "play"]

RESULTS = ".crashlab"
STATES_DEFAULT = 1_500


@dataclass(frozen=True)
class How:
    """What a caller may choose of any of these recipes; `crashlab.explore` says what each means."""

    faults: str | Sequence[str]
    states: int
    seed: int
    timeout: float
    results: str | Path | None
    replay: str | Path | None


def play(
    recipe: str,
    function: Callable[..., Any],
    act: Callable[..., Any],
    judge: Callable[[Workspace, Run], JudgeDirectory],
    *,
    arguments: Mapping[str, Any],
    database: str,
    how: How,
) -> ExploreResult:
    """Record `act` once with the user's function in it, and judge every crash from its beginning on."""
    __tracebackhide__ = True
    require_outside()
    names = check_faults(how.faults)
    subject = f"{recipe}.{name_of(function)}"
    with Workspace() as space:
        if how.replay is not None:
            return _judge_again(recipe, Path(how.replay), judge, space)
        run = record_writer(
            act,
            space,
            arguments={"function": function, **arguments},
            start=None,
            timeout_s=how.timeout,
            seed=how.seed,
        )
        if not run.acks:
            raise LabError(f"recipe {recipe}: the run was recorded without its marks; nothing is said about it")
        first = run.acks[0].moment
        with Walk(run, judge(space, run), subject, space.root / "walk") as walk:
            policies = [Policy(FAULTS[name]) for name in names]
            walked = walk.walk(policies, how.states, first, how.seed, database)
            records = None
            if walked.found and how.results is not None:
                records = make_run_directory(Path(how.results).absolute(), recipe)
            told = []
            for number, each in enumerate(walked.found):
                least, _ = smaller(run, each, walk, subject, SHRINK_TRIES)
                case = None if records is None else save(records / "cases", number, run, least, subject)
                told.append(_tell(recipe, run, least, case))
        return ExploreResult(
            subject,
            names,
            states=walked.states,
            classes=walked.disks,
            recoveries=walked.disks,
            failed=sum(each.states for each in walked.found),
            acks=len(run.acks),
            findings=tuple(told),
            missed="" if walked.states else "the function did nothing that a crash could hit",
            seed=how.seed,
            records=records,
            environment=environment_stamp(space.root),
        )


def _judge_again(
    recipe: str, case: Path, judge: Callable[[Workspace, Run], JudgeDirectory], space: Workspace
) -> ExploreResult:
    """Judge a kept state as it is judged now; the recording is the case's own."""
    loaded, run = load_saved(case)
    if not loaded.subject.startswith(f"{recipe}."):
        raise UsageError(f"case {case} is of {loaded.subject}; expected one of recipes.{recipe}")
    state = parse_state(loaded.fault)
    with Walk(run, judge(space, run), loaded.subject, space.root / "walk") as walk:
        told = [_tell(recipe, run, Found(each, loaded.database, state, 1), case) for each in walk.judge(state)]
    return ExploreResult(
        loaded.subject,
        ("kill" if state.kind == "kill" else "power",),
        states=1,
        classes=1,
        recoveries=1,
        failed=min(len(told), 1),
        acks=len(run.acks),
        findings=tuple(told),
        records=case.parent,
        environment=environment_stamp(space.root),
    )


def _tell(recipe: str, run: Run, found: Found, case: Path | None) -> CrashFinding:
    state, identity = found.state, found.finding.identity
    step = run.trace.describe(state.op) if state.op < len(run.trace) else "the end of the run"
    done = "after the function returned" if len(run.acked(state.op)) > 1 else "while the function ran"
    return CrashFinding(
        f"{identity.oracle}/{identity.invariant}",
        identity.fault_class,
        found.finding.message,
        str(state)[:200],
        f"before {step}, {done}",
        tuple(losses(run, state)),
        found.database,
        found.states,
        case,
        {} if case is None else {"replay": f"recipes.{recipe}(…, replay={str(case)!r})"},
    )
