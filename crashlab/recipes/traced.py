"""A recipe on the trace road: one recorded run of it, then every crash of its second half."""

from collections.abc import Callable, Mapping, Sequence
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
from crashlab.engine.writer.saved import save
from crashlab.engine.writer.walk import JudgeDirectory, Walk
from crashlab.errors import LabError
from crashlab.states.models import Policy

__all__ = ["STATES_DEFAULT", "play"]

STATES_DEFAULT = 1_500


def play(
    recipe: str,
    function: Callable[..., Any],
    act: Callable[..., Any],
    judge: Callable[[Workspace, Run], JudgeDirectory],
    *,
    arguments: Mapping[str, Any],
    faults: str | Sequence[str],
    states: int,
    seed: int,
    timeout: float,
    results: str | Path | None,
    database: str,
) -> ExploreResult:
    """Record `act` once with the user's function in it, and judge every crash from its beginning on."""
    __tracebackhide__ = True
    require_outside()
    names = check_faults(faults)
    subject = f"{recipe}.{name_of(function)}"
    with Workspace() as space:
        run = record_writer(
            act,
            space,
            arguments={"function": function, **arguments},
            start=None,
            timeout_s=timeout,
            seed=seed,
        )
        if not run.acks:
            raise LabError(f"recipe {recipe}: the run was recorded without its marks; nothing is said about it")
        first = run.acks[0].moment
        with Walk(run, judge(space, run), subject, space.root / "walk") as walk:
            policies = [Policy(FAULTS[name]) for name in names]
            walked = walk.walk(policies, states, first, seed, database)
            records = None
            if walked.found and results is not None:
                records = make_run_directory(Path(results).absolute(), recipe)
            told = [_tell(run, walk, each, subject, number, records) for number, each in enumerate(walked.found)]
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
            seed=seed,
            records=records,
            environment=environment_stamp(space.root),
        )


def _tell(run: Run, walk: Walk, found: Found, subject: str, number: int, records: Path | None) -> CrashFinding:
    least, _ = smaller(run, found, walk, subject, SHRINK_TRIES)
    state, identity = least.state, least.finding.identity
    step = run.trace.describe(state.op) if state.op < len(run.trace) else "the end of the run"
    case = None if records is None else save(records / "cases", number, run, least, subject)
    done = "after the function returned" if len(run.acked(state.op)) > 1 else "while the function ran"
    return CrashFinding(
        f"{identity.oracle}/{identity.invariant}",
        identity.fault_class,
        least.finding.message,
        str(state)[:200],
        f"before {step}, {done}",
        tuple(losses(run, state)),
        least.database,
        least.states,
        case,
    )
