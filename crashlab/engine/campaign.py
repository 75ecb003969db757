"""Campaigns: trials under a budget, with a recorded reason for stopping."""

import errno
import time
from collections.abc import Callable, Container, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from enum import StrEnum

import msgspec

from crashlab.engine.events import Emitter
from crashlab.engine.road import Road
from crashlab.errors import LimitError, UsageError
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case
from crashlab.model.contract import FaultClass
from crashlab.model.event import EventKind
from crashlab.model.finding import Identity, Verdict
from crashlab.model.outcome import Outcome, StateCount

ERRORS_MAX = 20
"""A lab that breaks so often has nothing to say."""

DISK_FULL_SIGNS = ("database or disk is full", "no space left on device", "disk quota exceeded")
"""What SQLite and the operating system say when a trial met the lab's own full disk."""

KEPT_MAX = 50
KEPT_PER_IDENTITY = 3


class StopReason(StrEnum):
    """Why a campaign stopped."""

    DONE = "all cases run"
    BUDGET = "the time budget was used up"
    TRIALS = "the budget of trials was used up"
    STATES = "the budget of crash states was used up"
    FINDINGS = "the budget of findings was used up"
    FAILURES = "the limit of failures was reached"
    ERRORS = "the lab broke too often"
    DISK_FULL = "the lab's own disk is full"
    INTERRUPTED = "interrupted"


class Limits(msgspec.Struct, frozen=True):
    """A limit on everything; `slots` trials are in flight at once.

    `trials_max`: the campaign's trials. `seconds`, `failures_max`, `budget_trials` and `states_max` count what one call
    adds, `findings_max` all different findings so far. Trials in flight are waited for.
    """

    trials_max: int = 1_000_000
    seconds: float = 3600.0
    failures_max: int = 1_000_000
    slots: int = 2
    budget_trials: int = 1_000_000_000
    states_max: int = 1 << 62
    findings_max: int = 1_000_000


class Tally(msgspec.Struct):
    """What a campaign has shown so far. `states`: crash states looked at.

    `keep=False` is for long campaigns: of the outcomes only examples are kept, of each finding the first and the
    first that was saved, of MISSED and ERROR the first.
    """

    outcomes: list[Outcome] = []
    verdicts: dict[Verdict, int] = {}
    phases: dict[str, int] = {}
    identities: dict[Identity, int] = {}
    stop: StopReason = StopReason.DONE
    seconds: float = 0.0
    states: StateCount = StateCount()
    keep: bool = True

    def add(self, outcome: Outcome) -> None:
        """Count one outcome in."""
        if self.keep or self._tells(outcome):
            self.outcomes.append(outcome)
        if outcome.states is not None:
            self.states = self.states.plus(outcome.states)
        self.verdicts[outcome.verdict] = self.verdicts.get(outcome.verdict, 0) + 1
        if outcome.verdict in (Verdict.PASS, Verdict.FAIL):
            for phase in filter(None, outcome.phase.split(",")):
                self.phases[phase] = self.phases.get(phase, 0) + 1
        for finding in outcome.findings:
            self.identities[finding.identity] = self.identities.get(finding.identity, 0) + 1

    def count(self, verdict: Verdict) -> int:
        """How many trials had this verdict."""
        return self.verdicts.get(verdict, 0)

    def _tells(self, outcome: Outcome) -> bool:
        """Whether an outcome, not counted in yet, is an example of something new."""
        if outcome.verdict in (Verdict.MISSED, Verdict.ERROR):
            return not self.count(outcome.verdict)
        for identity in (finding.identity for finding in outcome.findings):
            if identity not in self.identities:
                return True
            if outcome.case_dir and not any(
                kept.case_dir and any(finding.identity == identity for finding in kept.findings)
                for kept in self.outcomes
            ):
                return True
        return False


def run_campaign(
    road: Road,
    cases: Iterator[Case],
    executor: Executor,
    limits: Limits,
    emitter: Emitter,
    *,
    name: str = "campaign",
    check_room: Callable[[], None] = lambda: None,
    tally: Tally | None = None,
    recorded: Container[int] = (),
) -> Tally:
    """Run cases until they or a limit end it; the tally says which.

    A case's place among all cases is in its trial's id. `recorded` holds the places of those that ran before,
    which are left out; `tally` then has their outcomes already.

    `tally` may be the caller's own: on KeyboardInterrupt it is labelled, the road closed, and the exception
    goes on, so what was found so far is kept. Limits count what this campaign adds.

    `check_room` raises LimitError when the lab's own disk is nearly full. That ends the campaign, and what
    a trial showed meanwhile other than a pass counts as an ERROR: it says nothing about the subject.
    """
    tally = Tally() if tally is None else tally
    limits = msgspec.structs.replace(
        limits,
        failures_max=limits.failures_max + tally.count(Verdict.FAIL),
        states_max=limits.states_max + tally.states.generated,
    )
    errors_max = ERRORS_MAX + tally.count(Verdict.ERROR)
    started = time.monotonic()
    emitter.emit(EventKind.CAMPAIGN_STARTED, name=name, slots=limits.slots)
    pending: set[Future[Outcome]] = set()
    number = submitted = 0
    drained = full = False
    try:
        while True:
            while not drained and len(pending) < limits.slots:
                while number in recorded and next(cases, None) is not None:
                    number += 1
                stop = _limit(tally, number, started, limits, check_room)
                if submitted >= limits.budget_trials:
                    stop = stop or StopReason.TRIALS
                if tally.count(Verdict.ERROR) >= errors_max:
                    stop = stop or StopReason.ERRORS
                case = next(cases, None) if stop is None else None
                if case is None:
                    drained = True
                    tally.stop = stop or StopReason.DONE
                    break
                keep = _keep(tally)
                pending.add(executor.submit(road.run, case, f"{name}-{number:06d}", keep=keep))
                number, submitted = number + 1, submitted + 1
            if not pending:
                break
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    outcome = future.result()
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    drained = full = True
                    continue
                full = full or _met_full_disk(outcome, check_room)
                if full and outcome.verdict is not Verdict.PASS:
                    drained, outcome = True, _excused(outcome)
                tally.add(outcome)
                try:
                    emitter.emit(EventKind.TRIAL_FINISHED, outcome.trial_id, outcome=msgspec.to_builtins(outcome))
                except LimitError:  # nowhere to record more
                    drained = full = True
            if full:
                tally.stop = StopReason.DISK_FULL
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        tally.stop = StopReason.INTERRUPTED if interrupted else StopReason.ERRORS
        if interrupted:
            road.close()
        raise
    finally:
        for future in pending:
            future.cancel()
        tally.seconds = time.monotonic() - started
        emitter.emit(
            EventKind.CAMPAIGN_FINISHED,
            name=name,
            stop=tally.stop.value,
            verdicts={verdict.value: count for verdict, count in tally.verdicts.items()},
            phases=dict(tally.phases),
            states=msgspec.to_builtins(tally.states),
            findings=len(tally.identities),
            seconds=tally.seconds,
        )
    return tally


def _limit(
    tally: Tally, number: int, started: float, limits: Limits, check_room: Callable[[], None]
) -> StopReason | None:
    if number >= limits.trials_max:
        return StopReason.DONE
    if time.monotonic() - started >= limits.seconds:
        return StopReason.BUDGET
    if tally.count(Verdict.FAIL) >= limits.failures_max:
        return StopReason.FAILURES
    if tally.states.generated >= limits.states_max:
        return StopReason.STATES
    if len(tally.identities) >= limits.findings_max:
        return StopReason.FINDINGS
    return None if _has_room(check_room) else StopReason.DISK_FULL


def _has_room(check_room: Callable[[], None]) -> bool:
    try:
        check_room()
    except LimitError:
        return False
    return True


def _met_full_disk(outcome: Outcome, check_room: Callable[[], None]) -> bool:
    """True if a trial may have gone wrong because the lab's own disk was full.

    There may be room again by now, since a trial's directory goes with it; then its own words tell. Under
    an injected I/O error the same words are the fault's, not the lab's.
    """
    if outcome.verdict is Verdict.PASS:
        return False
    if not _has_room(check_room):
        return True
    said = " ".join((outcome.error, *(finding.message for finding in outcome.findings))).lower()
    if not any(sign in said for sign in DISK_FULL_SIGNS):
        return False
    try:
        return parse_fault(outcome.case.fault).fault_class is not FaultClass.IO_ERROR
    except UsageError:  # a fault of a COMMAND, which is a process death
        return True


def _excused(outcome: Outcome) -> Outcome:
    """The trial as the lab's own trouble; what it seemed to show is named, not counted."""
    seen = outcome.error or "; ".join(finding.message for finding in outcome.findings) or outcome.fired
    return msgspec.structs.replace(
        outcome,
        verdict=Verdict.ERROR,
        findings=(),
        error=f"{StopReason.DISK_FULL.value}, so this trial says nothing about the subject (seen: {seen[:500]})",
    )


def _keep(tally: Tally) -> bool:
    """Keep the directories of the first failures, and stop once each identity has its share."""
    failures = tally.count(Verdict.FAIL)
    if failures >= KEPT_MAX:
        return False
    return failures < KEPT_PER_IDENTITY or any(n < KEPT_PER_IDENTITY for n in tally.identities.values())
