"""Schedules under a budget, until one fails."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from crashlab.engine.schedules.calibrate import Costs
from crashlab.engine.schedules.exhaustive import programs, schedules_of
from crashlab.engine.schedules.faults import Struck
from crashlab.engine.schedules.ran import Ran, Road, StuckError
from crashlab.engine.schedules.sources import Source
from crashlab.engine.schedules.strategies import EXHAUSTIVE, Strategy
from crashlab.model.finding import Finding
from crashlab.model.schedule import Schedule, Script
from crashlab.model.seed import rng_for
from crashlab.writers.schedule.decide import Decide

__all__ = ["Budget", "Counted", "Failure", "explore"]

COLLECT_EVERY = 500
TELL_EVERY_S = 0.25
PROBLEMS_MAX = 20


class Budget(msgspec.Struct, frozen=True):
    """Bounds of a campaign; 0 schedules for no bound. It ends at `failures_max` findings of different identities.

    `oracles`: only findings of these count, where there are any named.
    """

    seconds: float = 60.0
    schedules: int = 0
    failures_max: int = 1
    oracles: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True):
    """One schedule that failed: its number, counted from 0 in its campaign, and what it showed."""

    number: int
    schedule: Schedule
    findings: tuple[Finding, ...]
    cpu_s: float = 0.0


class Counted(msgspec.Struct):
    """The sums of a campaign so far. `next_number`: that of the next schedule. `done`: there are no more.

    `befell`: schedules by the fault that befell an actor; `missed`: those that were to have one and had none.
    """

    schedules: int = 0
    points: int = 0
    switches: int = 0
    acked: int = 0
    refused: int = 0
    judged: int = 0
    next_number: int = 0
    cpu_s: float = 0.0
    seconds: float = 0.0
    done: bool = False
    refusals: dict[str, int] = {}
    problems: dict[str, int] = {}
    befell: dict[str, int] = {}
    missed: int = 0

    def add_fault(self, planned: str, ran: Ran) -> None:
        """Count the fault that a schedule was to have, if it was to have one."""
        if not planned:
            return
        if any(segment.fault == planned for segment in ran.segments):
            self.befell[planned] = self.befell.get(planned, 0) + 1
        else:
            self.missed += 1

    def add(self, ran: Ran) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.points += ran.points
        self.switches += max(0, len(ran.segments) - 1)
        self.acked += ran.acked
        self.refused += ran.refused
        for text in ran.refusals:
            if text in self.refusals or len(self.refusals) < PROBLEMS_MAX:
                self.refusals[text] = self.refusals.get(text, 0) + 1
        if not ran.problem:
            self.judged += 1
        elif ran.problem in self.problems or len(self.problems) < PROBLEMS_MAX:
            self.problems[ran.problem] = self.problems.get(ran.problem, 0) + 1


def explore(
    road: Road,
    source: Source,
    costs: Costs,
    strategy: Strategy,
    seed: int,
    budget: Budget,
    *,
    first: int = 0,
    faults: Sequence[str] = (),
    told: Callable[[Counted], object] = lambda _: None,
) -> Iterator[Failure | Counted]:
    """Run schedules number `first` and following; yield each failure of a new identity, and the sums at the end.

    The same seed gives the same schedules, whatever the budget. `faults`: the kinds, one of
    which befalls somebody in each. `told` gets the sums now and then.

    Raises:
        StuckError: a schedule did not end; the sums told last say which number was next.
    """
    counted = Counted(next_number=first)
    seen: Counter[str] = Counter()
    started, used = time.monotonic(), time.process_time()
    tell_at = started + TELL_EVERY_S
    collecting = gc.isenabled()
    gc.disable()  # a connection must not be closed in the middle of somebody else's turn
    gc.collect()
    gc.freeze()  # the lab's own modules: each collection would look through them
    try:
        for script, decide in _drawn(source, costs, strategy, seed, counted, faults):
            if budget.schedules and counted.schedules >= budget.schedules:
                break
            try:
                ran = road.run(script, decide)
            except StuckError:
                told(counted)
                raise
            counted.add(ran)
            counted.add_fault(getattr(decide, "fault", ""), ran)
            counted.next_number += 1
            if counted.schedules % COLLECT_EVERY == 0:
                gc.collect()
            now = time.monotonic()
            counted.seconds, counted.cpu_s = now - started, time.process_time() - used
            identities = [
                str(finding.identity)
                for finding in ran.findings
                if not budget.oracles or finding.identity.oracle in budget.oracles
            ]
            new = [identity for identity in identities if not seen[identity]]
            seen.update(identities)
            if new:
                schedule = ran.schedule(script, road.engine, road.name, new[0])
                yield Failure(counted.next_number - 1, schedule, ran.findings, counted.cpu_s)
                if len(seen) >= budget.failures_max:
                    break
            if now >= tell_at:
                told(counted)
                tell_at = now + TELL_EVERY_S
            if now - started > budget.seconds:
                break
        else:
            counted.done = True
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
    yield counted


def _drawn(
    source: Source, costs: Costs, strategy: Strategy, seed: int, counted: Counted, faults: Sequence[str]
) -> Iterator[tuple[Script, Decide]]:
    if strategy.kind == EXHAUSTIVE:
        for program in programs():
            yield from schedules_of(program, strategy.number)
        return
    rare: dict[int, int] = {}
    while True:
        rng = rng_for(seed, "schedule", counted.next_number)
        script = source.draw(rng)
        points = costs.points(script)
        decide = strategy.decide(rng, points, rare)
        if faults:
            decide = Struck(decide, rng_for(seed, "fault", counted.next_number), points, faults)
        yield script, decide
