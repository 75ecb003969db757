"""Replaying a case: a real kill is not deterministic, so it is replayed k times and reported as k of n."""

import itertools
from collections.abc import Callable
from concurrent.futures import Executor

import msgspec

from crashlab.engine.campaign import Limits, Tally, run_campaign
from crashlab.engine.events import Emitter
from crashlab.engine.road import Road
from crashlab.model.case import Case
from crashlab.model.finding import Finding, Identity, Verdict


class Replayed(msgspec.Struct, frozen=True):
    """How often a case failed again. `judged` are the trials in which the fault fired; `stop` is why it ended."""

    case: Case
    times: int
    judged: int
    reproduced: int
    missed: int
    errors: tuple[str, ...]
    findings: dict[str, int]
    examples: tuple[Finding, ...]
    stop: str = ""

    @property
    def text(self) -> str:
        """The sentence that reports it."""
        return f"reproduced {self.reproduced}/{self.judged}" + (
            f" (the fault fired in {self.judged} of {self.times} runs)" if self.judged != self.times else ""
        )


def replay(
    road: Road,
    case: Case,
    times: int,
    executor: Executor,
    limits: Limits,
    emitter: Emitter,
    *,
    check_room: Callable[[], None] = lambda: None,
    tally: Tally | None = None,
) -> Replayed:
    """Run a case `times` times and count; `tally` may be the caller's own, as in `run_campaign`."""
    cases = itertools.repeat(case, times)
    tally = run_campaign(road, cases, executor, limits, emitter, name="replay", check_room=check_room, tally=tally)
    return summarise_replay(case, times, tally)


def summarise_replay(case: Case, times: int, tally: Tally) -> Replayed:
    """Count what a replay of `times` trials has shown so far."""
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
        tally.stop.value,
    )
