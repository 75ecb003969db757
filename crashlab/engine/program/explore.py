"""Crash states of a recorded program against its own history."""

from pathlib import Path

import msgspec

from crashlab.engine.program.commits import databases, find_commits
from crashlab.engine.program.legal import Legal, find_legal
from crashlab.engine.program.record import Ack, Recording, acks_of
from crashlab.errors import LabError
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding, Identity
from crashlab.model.seed import rng_for
from crashlab.states.coverage import Coverage
from crashlab.states.explore import Seen, explore
from crashlab.states.images import Images
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy
from crashlab.states.recover import Logical
from crashlab.states.state import CrashState
from crashlab.states.trace import Trace

__all__ = ["Budget", "Explored", "Found", "Judge", "explore_program"]

ORACLE = "history"
POLICIES = (Policy.KILL, Policy.TORN)


class Budget(msgspec.Struct, frozen=True):
    """How much is looked at. `states`: of each database under each model; `direct`: different recovered databases, of
    those outside the classes, that are given to SQLite.
    """

    states: int = 100_000
    direct: int = 20_000
    seed: int = 1


class Found(msgspec.Struct, frozen=True):
    """A finding and the first state that shows it; `states`: crash states in the failing classes so far."""

    finding: Finding
    database: str
    state: CrashState
    states: int


class Explored(msgspec.Struct, frozen=True):
    """What came of one database.

    `promised`: commits that the settings made durable at once. `acks_lost`: most acks that a legal power loss took.
    `classes`: classes, page images and single disks. `failed`: states that are not in order.
    `representatives`: one state of each class that is in order, for restarts.
    """

    database: str
    coverage: tuple[Coverage, ...]
    commits: int
    promised: int
    acks: int
    acks_lost: int
    key_column: str
    named: int
    classes: int
    failed: int
    found: tuple[Found, ...]
    representatives: tuple[CrashState, ...]


class Value(msgspec.Struct, frozen=True):
    """What is remembered of a class: its content's digest, what SQLite complained of, named files that are wrong."""

    digest: bytes
    problem: str
    files: tuple[tuple[str, str], ...]


class Judge:
    """Judges what states of one database recovered to."""

    def __init__(self, legal: Legal, acks: tuple[Ack, ...], subject: str) -> None:
        self.legal = legal
        self.acks_lost = 0
        self._acks, self._subject = acks, subject

    def value(self, state: CrashState, logical: Logical, files: Materialiser) -> Value:
        """Look at a recovered state, and at the files that its rows name."""
        problem = logical.error or "; ".join(logical.problems)
        wrong: list[tuple[str, str]] = []
        names = self.legal.namer.names_in(logical) & self.legal.named.keys() if not problem else set()
        if names:
            directory = files.show(state)  # recovery may have cleared it away
            for name in sorted(names):
                wanted, there = self.legal.named[name].content, directory / name
                if not there.is_file():
                    wrong.append((name, "is not there"))
                elif wanted is not None and there.read_bytes() != wanted:
                    wrong.append((name, f"does not hold the {len(wanted)} bytes written"))
        return Value(logical.digest, problem, tuple(wrong))

    def judge(self, value: Value, moment: int, fault_class: FaultClass) -> list[Finding]:
        """Return what is wrong with what a state of a moment recovered to."""
        kill = fault_class is FaultClass.PROCESS_DEATH
        commits = self.legal.commits
        settings, acked = self.legal.required(moment, self._acks, kill=kill)
        numbers = self.legal.numbers.get(value.digest, ())
        begun = commits.done(moment) + 1
        possible = [number for number in numbers if number <= begun]
        if value.problem and not possible:
            return [self._finding("well-formed", fault_class, f"{commits.database} is malformed: {value.problem}")]
        if not possible:
            return [
                self._finding(
                    "a-committed-state",
                    fault_class,
                    f"{commits.database} holds what it held after none of the {begun} commits that had begun",
                )
            ]
        number = possible[-1]
        found: list[Finding] = []
        if number < settings:
            found.append(
                self._finding(
                    "promised-commits",
                    fault_class,
                    f"{commits.database} is as after commit {number}; by its settings commit {settings} was safe",
                )
            )
        if number < acked:
            lost = next(
                ack
                for ack, promised in zip(self._acks, self.legal.acked, strict=True)
                if promised > number and ack.moment <= moment
            )
            key = f" {lost.key!r}" if lost.key else ""
            found.append(
                self._finding(
                    "acked-commits",
                    fault_class,
                    f"{commits.database} is as after commit {number}; the output had acked{key}, up to commit {acked}",
                )
            )
        if not found and not kill:
            self._measure(number, moment)
        for name, what in value.files:
            found.append(self._finding("named-files", fault_class, f"a row names {name!r}, which {what}"))
            break
        return found

    def _measure(self, number: int, moment: int) -> None:
        acked = zip(self._acks, self.legal.acked, strict=True)
        self.acks_lost = max(self.acks_lost, sum(ack.moment <= moment and each > number for ack, each in acked))

    def _finding(self, invariant: str, fault_class: FaultClass, message: str) -> Finding:
        return Finding(Identity(ORACLE, invariant, self._subject, fault_class.value), message)


def explore_program(recording: Recording, subject: str, budget: Budget, scratch: Path) -> tuple[Explored, ...]:
    """Explore every database of a recorded run; none if it opened none.

    Raises:
        LabError: two members of one class differed, or a database was changed without a journal.
        LimitError: too many commits.
    """
    trace = recording.trace()
    acks = acks_of(recording.directory, trace)
    results = []
    for number, database in enumerate(databases(trace)):
        commits = find_commits(trace, database)
        if commits.unjournalled >= 0:
            raise LabError(
                f"{database} was changed with neither journal nor WAL ({trace.describe(commits.unjournalled)}): "
                "journal_mode=MEMORY or OFF, where any crash in a commit may leave it malformed "
                "(https://sqlite.org/pragma.html#pragma_journal_mode); its commits cannot be told apart here"
            )
        if not commits.own:
            continue  # opened, perhaps made, but nothing was committed to it
        legal = find_legal(trace, commits, acks, scratch / f"legal{number}")
        judge = Judge(legal, acks, subject)
        results.append(_explore_one(trace, judge, len(acks), budget, scratch / f"states{number}"))
    return tuple(results)


def _explore_one(trace: Trace, judge: Judge, acks: int, budget: Budget, scratch: Path) -> Explored:
    legal = judge.legal
    coverage: list[Coverage] = []
    found: dict[Identity, Found] = {}
    representatives: list[CrashState] = []
    classes = failed = 0
    for policy in POLICIES:
        fault_class = FaultClass.PROCESS_DEATH if policy is Policy.KILL else FaultClass.POWER_LOSS
        explored = explore(
            trace,
            Model(policy, states_max=budget.states, direct_max=budget.states),
            rng_for(budget.seed, "program", legal.commits.database, policy),
            probe=legal.probe,
            scratch=scratch / policy.value,
            on_recovered=judge.value,
            images=Images(trace, legal.commits.database, {name: each.content for name, each in legal.named.items()}),
            firsts_max=budget.direct,
        )
        coverage.append(explored.coverage)
        explored.require_sound()
        classes += explored.coverage.classes + explored.coverage.images + explored.coverage.disks
        for seen in explored.seen:
            wrong = _judge_class(judge, seen, fault_class)
            if not wrong:
                representatives.append(seen.representative)
                continue
            failed += seen.states
            for state, finding in wrong:
                known = found.get(finding.identity)
                found[finding.identity] = (
                    msgspec.structs.replace(known, states=known.states + seen.states)
                    if known
                    else Found(finding, legal.commits.database, state, seen.states)
                )
    return Explored(
        legal.commits.database,
        tuple(coverage),
        len(legal.commits.ops),
        sum(legal.commits.at_once),
        acks,
        judge.acks_lost,
        legal.key_column,
        len(legal.named),
        classes,
        failed,
        tuple(found.values()),
        tuple(representatives),
    )


def _judge_class(judge: Judge, seen: Seen, fault_class: FaultClass) -> list[tuple[CrashState, Finding]]:
    """Judge a class at both ends of its moments, each kind of finding once."""
    found: dict[Identity, tuple[CrashState, Finding]] = {}
    for state in dict.fromkeys((seen.last_state, seen.first_state)):
        for finding in judge.judge(seen.value, state.op, fault_class):
            found.setdefault(finding.identity, (state, finding))
    return list(found.values())
