"""Crash states of a writer's run against its own history and the user's checks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from crashlab.engine.moments import Moments
from crashlab.engine.program.commits import find_commits
from crashlab.engine.program.explore import Budget, Found, Judge
from crashlab.engine.program.legal import find_legal
from crashlab.engine.reduce import ReduceLimits, reduce_state
from crashlab.engine.writer.checks import Checks
from crashlab.engine.writer.record import Run
from crashlab.model.case import Case
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.model.seed import rng_for
from crashlab.states.coverage import Coverage
from crashlab.states.explore import explore
from crashlab.states.images import Images
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy
from crashlab.states.recover import can_read_only, recover
from crashlab.states.state import KILL, CrashState, parse_state

__all__ = ["StateJudge", "check_states", "fault_class_of", "losses", "smaller"]


def fault_class_of(state: CrashState) -> FaultClass:
    """Return what kind of fault leaves a state."""
    return FaultClass.PROCESS_DEATH if state.kind == KILL else FaultClass.POWER_LOSS


class JudgesStates(Protocol):
    """Something that says what is wrong with a crash state."""

    def judge(self, state: CrashState) -> list[Finding]:
        """Return the findings of one state."""


class StateJudge:
    """Judges single states of one database of a run; `scratch` is a directory of its own."""

    def __init__(self, run: Run, database: str, checks: Checks | None, subject: str, scratch: Path) -> None:
        self._legal = find_legal(run.trace, find_commits(run.trace, database), run.acks, scratch / "legal")
        self._judge = Judge(self._legal, run.acks, subject)
        self._run, self._database, self._checks, self._scratch = run, database, checks, scratch

    def judge(self, state: CrashState) -> list[Finding]:
        """Return everything that is wrong with a state."""
        fault_class = fault_class_of(state)
        with Materialiser(self._run.trace, self._scratch / "state") as files:
            shown = files.show(state)
            read_only = can_read_only(files.sizes(), self._database)
            logical = recover(shown, self._legal.probe, read_only=read_only)
            if not read_only:
                files.clear()
            found = self._judge.judge(self._judge.value(state, logical, files), state.op, fault_class)
        return found + (self._checks.judge(state, b"", fault_class) if self._checks else [])


def check_states(
    run: Run, database: str, checks: Checks, policies: tuple[Policy, ...], budget: Budget, scratch: Path
) -> tuple[list[Found], list[Coverage]]:
    """Run checks on the crash states of a database: on each class at its first and its last moment."""
    found: dict[Identity, Found] = {}
    coverage = []
    legal = find_legal(run.trace, find_commits(run.trace, database), run.acks, scratch / "legal")
    for policy in policies:
        explored = explore(
            run.trace,
            Model(policy, states_max=budget.states, direct_max=budget.states),
            rng_for(budget.seed, "checks", database, policy),
            probe=legal.probe,
            scratch=scratch / policy.value,
            cross_check=False,
            images=Images(run.trace, database, {name: each.content for name, each in legal.named.items()}),
            firsts_max=budget.direct,
        )
        coverage.append(explored.coverage)
        for seen in explored.seen:
            told: set[Identity] = set()
            for state in dict.fromkeys((seen.last_state, seen.first_state)):
                for finding in checks.judge(state, seen.digest, fault_class_of(state)) if seen.sound else ():
                    if finding.identity in told:
                        continue
                    told.add(finding.identity)
                    known = found.get(finding.identity, Found(finding, database, state, 0))
                    found[finding.identity] = msgspec.structs.replace(known, states=known.states + seen.states)
    return list(found.values()), coverage


def smaller(run: Run, found: Found, judge: JudgesStates, subject: str, tries_max: int) -> tuple[Found, int]:
    """Return a finding at the smallest state that shows it, and how many states were tried."""
    identity = found.finding.identity
    messages: dict[str, str] = {}

    def outcome(case: Case) -> Outcome:
        findings = tuple(judge.judge(parse_state(case.fault)))
        for each in findings:
            if each.identity == identity:
                messages[case.fault] = each.message
        return Outcome("", case, Verdict.FAIL if findings else Verdict.PASS, _ENDED, findings=findings)

    case = Case(subject, 1, str(found.state))
    reduced = reduce_state(outcome, run.trace, case, found.state, ReduceLimits(tries_max, _SECONDS), identity=identity)
    fault = reduced.case.fault
    finding = msgspec.structs.replace(found.finding, message=messages.get(fault, found.finding.message))
    return msgspec.structs.replace(found, finding=finding, state=parse_state(fault)), reduced.tries


def losses(run: Run, state: CrashState) -> Iterator[str]:
    """Yield what a power loss took, in words, for a message."""
    if state.kind == KILL:
        return
    loss = Moments(run.trace).loss(state)
    for op in loss.lost:
        yield run.trace.describe(op)
    for op, _ in loss.torn:
        yield f"{run.trace.describe(op)} (torn)"


_SECONDS = 20.0
_ENDED = Ended(EndKind.EXITED, 0)
