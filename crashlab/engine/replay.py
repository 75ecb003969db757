"""Replaying a case: a real kill is not deterministic, so it is replayed k times and reported as k of n."""

from concurrent.futures import Executor

import msgspec

from crashlab.engine.campaign import Limits, run_campaign
from crashlab.engine.events import Emitter
from crashlab.engine.road import Road
from crashlab.model.case import Case
from crashlab.model.finding import Finding, Identity, Verdict


class Replayed(msgspec.Struct, frozen=True):
    """How often a case failed again. `judged` are the trials in which the fault fired."""

    case: Case
    times: int
    judged: int
    reproduced: int
    missed: int
    errors: tuple[str, ...]
    findings: dict[str, int]
    examples: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """The sentence that reports it."""
        return f"reproduced {self.reproduced}/{self.judged}" + (
            f" (the fault fired in {self.judged} of {self.times} runs)" if self.judged != self.times else ""
        )


def replay(road: Road, case: Case, times: int, executor: Executor, limits: Limits, emitter: Emitter) -> Replayed:
    """Run a case `times` times and count."""
    tally = run_campaign(road, iter([case] * times), executor, limits, emitter, name="replay")
    examples: dict[Identity, Finding] = {}
    for outcome in tally.outcomes:
        for finding in outcome.findings:
            examples.setdefault(finding.identity, finding)
    return Replayed(
        case,
        times,
        tally.count(Verdict.PASS) + tally.count(Verdict.FAIL),
        tally.count(Verdict.FAIL),
        tally.count(Verdict.MISSED),
        tuple(outcome.error for outcome in tally.outcomes if outcome.error)[:5],
        {str(identity): count for identity, count in tally.identities.items()},
        tuple(examples.values()),
    )
