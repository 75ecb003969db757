"""A program's failing crash state made smaller: less of it lost, earlier; the recording stays, so nothing is run again.

Of a restart's finding each try starts the command that the person who reduces gives.
"""

from collections.abc import Callable
from pathlib import Path

from crashlab.engine.program.case import ProgramCase, StateJudge, keep_program_case
from crashlab.engine.program.explore import Found
from crashlab.engine.program.record import load_recording
from crashlab.engine.reduce import Reduced, ReduceLimits, parsed_state, reduce_state
from crashlab.errors import LabError
from crashlab.model.case import Case
from crashlab.model.finding import Finding, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.states.state import CrashState

__all__ = ["Reduction", "reduce_program_case"]

JudgeState = Callable[[CrashState], list[Finding]]


class Reduction:
    """What came of it: how it was reduced, and the new case's directory, None where nothing got smaller."""

    def __init__(self, reduced: Reduced, kept: Path | None) -> None:
        self.reduced, self.kept = reduced, kept


def reduce_program_case(
    directory: Path, case: ProgramCase, scratch: Path, limits: ReduceLimits, judge: JudgeState | None = None
) -> Reduction:
    """Reduce a case into a new directory beside it; the finding's identity stays.

    `judge`: in the place of the recorded history, for findings of a restart.

    Raises:
        LabError: the case does not fail here in that way.
        LimitError: the smaller case cannot be kept.
    """
    trace = load_recording(directory)
    if judge is not None:
        return _reduce(directory, case, judge, limits)
    with StateJudge(directory, trace, case, scratch) as states:
        return _reduce(directory, case, states.judge, limits)


def _reduce(directory: Path, case: ProgramCase, judge: JudgeState, limits: ReduceLimits) -> Reduction:
    trace = load_recording(directory)
    said: dict[str, list[Finding]] = {}

    def outcome(tried: Case) -> Outcome:
        state = parsed_state(tried)
        if state is None:
            raise LabError(f"the fault {tried.fault!r} is no crash state")
        found = said[tried.fault] = judge(state)
        verdict = Verdict.FAIL if found else Verdict.PASS
        return Outcome("reduce", tried, verdict, Ended(EndKind.EXITED, 0), findings=tuple(found))

    start = Case(case.subject, 0, case.fault)
    state = parsed_state(start)
    if state is None:
        raise LabError(f"the fault {case.fault!r} is no crash state")
    found = outcome(start).findings
    identity = next((each.identity for each in found if str(each.identity) == case.identity), None)
    if identity is None:
        raise LabError(f"case {directory.name} does not fail here by {case.identity}, so there is nothing to reduce")
    reduced = reduce_state(outcome, trace, start, state, limits, identity=identity)
    small = parsed_state(reduced.case)
    if small is None or small == state:
        return Reduction(reduced, None)
    finding = next(each for each in said[reduced.case.fault] if each.identity == identity)
    kept = keep_program_case(_free(directory), directory, Found(finding, case.database, small, 1), case.subject)
    return Reduction(reduced, kept)


def _free(directory: Path) -> Path:
    """A new name beside a case's."""
    directory = directory if directory.name not in ("", "..") else directory.resolve()
    name = directory.name.partition("-reduced")[0]
    number = 1
    while (found := directory.parent / f"{name}-reduced{number if number > 1 else ''}").exists():
        number += 1
    return found
