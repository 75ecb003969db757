"""From a failing example to a witness: shrunk without becoming another bug, kept as a case directory."""

from functools import cache
from pathlib import Path
from random import Random

import msgspec
from hypothesis import HealthCheck, Phase, event, find, settings, target
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from crashlab.engine.reduce import parsed_state, reduce_state
from crashlab.errors import UsageError
from crashlab.model.case import Case
from crashlab.model.finding import Identity
from crashlab.model.outcome import Outcome
from crashlab.strategies.inprocess import InProcess

EXAMPLES = 500


class FindingsError(AssertionError):
    """A crash state failed its oracles. Each identity of a finding has a subclass of its own.

    Hypothesis takes two failures for the same by their type and line, so it shrinks within one identity.
    """

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        lines = [f"{finding.identity}: {finding.message}" for finding in outcome.findings]
        super().__init__("\n".join([f"{outcome.case.fault} of {outcome.case.params or outcome.case.subject}", *lines]))


class Witness(msgspec.Struct, frozen=True):
    """A minimised failing case. `identity`: of the finding that was kept; `directory`: '' if none was asked for."""

    case: Case
    identity: Identity
    outcome: Outcome
    directory: str = ""


@cache
def _error_of(identity: Identity) -> type[FindingsError]:
    return type("FindingsError", (FindingsError,), {"identity": identity, "__doc__": str(identity)})


def check(outcome: Outcome) -> Outcome:
    """Return an outcome without findings; for use in `@given` tests.

    Raises:
        FindingsError: it has findings; of a type of its own for the identity of the first.
    """
    if outcome.findings:
        raise _error_of(outcome.findings[0].identity)(outcome)
    return outcome


def observe(outcome: Outcome) -> Outcome:
    """Tell Hypothesis what a trial was about: verdict and phase as events, exposure as targets."""
    event(f"verdict {outcome.verdict.value}")
    event(f"crashed in {outcome.phase or 'no phase'}")
    target(float(outcome.exposure.frames), label="WAL frames at the crash")
    target(float(outcome.acked), label="acked steps at the crash")
    return outcome


def find_witness(
    road: InProcess,
    drawn: st.SearchStrategy[Case],
    rng: Random,
    *,
    keep: Path | None = None,
    examples_max: int = EXAMPLES,
    identity: Identity | None = None,
) -> Witness | None:
    """Look for a failing case, shrink it while its finding's identity stays, keep it below `keep`.

    `drawn`: as from `crashes`. `identity`: look for this one alone; else the first found. Returns None if
    `examples_max` examples all passed. The same generator state gives the same witness.

    Raises:
        UsageError: `examples_max` below 1.
        LabError: a run could not be recorded or judged.
    """
    if examples_max < 1:
        raise UsageError(f"find_witness: examples_max={examples_max}, expected 1 or more")
    wanted = [identity] if identity is not None else []

    def fails(case: Case) -> bool:
        outcome = road.run(case)
        if outcome.findings and not wanted:
            wanted.append(outcome.findings[0].identity)
        return any(finding.identity in wanted for finding in outcome.findings)

    bounds = settings(
        max_examples=examples_max,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        # A draw records a run, which takes milliseconds, more on a busy machine.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    try:
        case = find(drawn, fails, settings=bounds, random=rng)
    except NoSuchExample:
        return None
    state = parsed_state(case)
    if state is not None:  # what Hypothesis left is small as a drawing; this makes it small as a loss
        case = reduce_state(road.run, road.trace(case), case, state, identity=wanted[0]).case
    outcome = road.run(case, keep=keep)
    return Witness(case, wanted[0], outcome, outcome.case_dir)
