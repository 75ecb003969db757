"""Exploring a recorded run: every crash state by class, each class through the program's own restart path.

Real SQLite recovers a member of each class (`crashlab.states.explore`); the program's restart path then runs
on a copy of it, and the oracles judge what comes back twice: against the history at the earliest moment of
the class's states (when least had begun) and at the latest (when most was acked).
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from crashlab.engine.casedir import save_case
from crashlab.engine.judge import EVIDENCE, clear_run
from crashlab.engine.reach import Reach, reach
from crashlab.engine.recover import restart_and_read
from crashlab.engine.recovery_crashes import RecoveryCrasher, RecoveryCrashes, RecoveryLimits, Restarter
from crashlab.engine.story import tell_story
from crashlab.engine.timeline import annotate_case
from crashlab.engine.verdict import judge_view
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, read_marks
from crashlab.log.trace import TraceKind
from crashlab.model.case import Case
from crashlab.model.contract import Durability, FaultClass
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind, History, StepState
from crashlab.model.outcome import Outcome
from crashlab.model.seed import rng_for
from crashlab.oracles.view import Recovered, View
from crashlab.sqlite.files import Triplet
from crashlab.states.coverage import Coverage
from crashlab.states.explore import Seen, explore
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy
from crashlab.states.recover import Logical, Probe
from crashlab.states.state import CrashState
from crashlab.states.trace import load_trace
from crashlab.writers.context import RunContext
from crashlab.writers.order import Order

FAILURES_KEPT = 20
KEPT_PER_IDENTITY = 2
_TOLD = (TraceKind.SYNC, TraceKind.DIRSYNC, TraceKind.TRUNCATE, TraceKind.DELETE, TraceKind.RENAME)


class ExploreOrder(msgspec.Struct, frozen=True, tag=True):
    """What is to be explored: a recording (its directory), the models, and where failing cases go.

    `case` is the recorded one; its fault is replaced by the text of each failing state. `scratch` is a
    directory that does not exist yet. `sample`: part of all states that is cross-checked. `recovery`: of so many
    class representatives of each model the recovery itself is crashed, at each of its operations; 0 for none.
    """

    case: Case
    order: Order
    recording: str
    models: tuple[Model, ...]
    scratch: str
    keep: str = ""
    environment: dict[str, str] = {}
    sample: float = 0.02
    classes: bool = True
    recovery: int = 0


class Explored(msgspec.Struct, frozen=True):
    """What an exploration showed. `judged`: classes and disks that the oracles saw; `failures`: of these.

    `states_failed`: crash states in the failing classes. `lost_steps_max`: most acked steps that a power loss
    took where the contract allows a suffix to go, `lost_seconds_max` the seconds from the oldest of them to the
    crash. `undone_last`: times that only the last commit was undone, as a rollback journal's may be below EXTRA.
    `recovery`: crashes of the recoveries, None when they were not asked for; a class with one that does not
    converge counts among the failures. `reach`: for each model, which moments of the run its states stand for.
    """

    coverage: tuple[Coverage, ...]
    judged: int
    failures: int
    states_failed: int
    identities: dict[str, int]
    outcomes: tuple[Outcome, ...]
    steps_acked: int
    lost_steps_max: int = 0
    lost_seconds_max: float = 0.0
    settings: dict[str, str] = {}
    recovery: RecoveryCrashes | None = None
    undone_last: int = 0
    reach: tuple[Reach, ...] = ()


def explore_recording(workload: Any, task: ExploreOrder, stage: Callable[[str], None]) -> Explored:
    """Explore one recording under each model.

    Raises:
        LabError: two members of one class differed, so the classes cannot be trusted here.
        RecordError: the recording is damaged.
    """
    explorer = _Explorer(workload, task, stage)
    for model in task.models:
        explorer.run(model)
    return explorer.result()


class _Explorer:
    def __init__(self, workload: Any, task: ExploreOrder, stage: Callable[[str], None]) -> None:
        self._workload = workload
        self._task = task
        self._stage = stage
        self._bases = log_bases(task.recording)
        self._trace = load_trace(self._bases)
        self._records = read_marks(self._bases)
        self._histories: dict[int, History] = {}
        self._whole = build_history(task.case.case_id, self._records, Ended(EndKind.EXITED, 0))
        self._coverage: list[Coverage] = []
        self._outcomes: list[Outcome] = []
        self._identities: dict[Identity, int] = {}
        self._judged = self._failures = self._states_failed = 0
        self._lost_steps = self._undone = 0
        self._lost_seconds = 0.0
        self._numbers = 0
        self._recovery: RecoveryCrashes | None = None
        self._reach: list[Reach] = []

    def run(self, model: Model) -> None:
        kill = model.policy is Policy.KILL
        fault_class = FaultClass.PROCESS_DEATH if kill else FaultClass.POWER_LOSS
        probe = Probe(
            Path(self._task.order.database).name,
            tuple(
                f"{table.query} ORDER BY {', '.join(map(str, range(1, len(table.key) + 1)))}"
                for table in self._workload.tables
            ),
        )
        explored = explore(
            self._trace,
            model,
            rng_for(self._task.case.seed, "explore", model.policy),
            probe=probe,
            scratch=Path(self._task.scratch) / model.policy.value,
            classes=self._task.classes,
            sample=self._task.sample,
            on_recovered=lambda state, logical, files: self._restart(state, logical, files, fault_class),
        )
        self._coverage.append(explored.coverage)
        explored.require_sound()
        self._stage("oracles")
        failing = [seen for seen in explored.seen if self._judge(seen, fault_class)]
        failed = {seen.representative for seen in failing}
        main = Path(self._task.order.database).name
        moments = [seen.first for seen in failing]
        self._reach.append(reach(self._trace, main, model.policy.value, explored.states_at, moments))
        if self._task.recovery:
            sound = [seen for seen in explored.seen if seen.representative not in failed]
            self._crash_recoveries(sound, probe, model.policy, fault_class)

    def _restart(self, state: CrashState, logical: Logical, files: Materialiser, fault_class: FaultClass) -> Recovered:
        """Run the program's restart path on a copy of a state."""
        directory = Path(self._task.scratch) / f"restart{self._numbers}"
        self._numbers += 1
        directory.mkdir(parents=True)
        try:
            files.export(state, directory)
            order = msgspec.structs.replace(
                self._task.order,
                directory=str(directory),
                database=str(directory / Path(self._task.order.database).name),
                tap=None,
                probe=False,
            )
            self._stage("restart")
            context = RunContext(order, 0, sqlite3.connect)
            return restart_and_read(self._workload, context, self._history(state.op), fault_class, b"", {})
        finally:
            clear_run(str(directory))

    def _crash_recoveries(self, classes: list[Seen], probe: Probe, policy: Policy, fault_class: FaultClass) -> None:
        """Crash the recoveries of classes that the oracles had nothing against, and count what doesn't converge."""
        self._stage("recovery crashes")
        scratch = Path(self._task.scratch) / f"recovery-{policy.value}"
        promise = self._workload.contract.promise(fault_class, self._whole.settings.get("synchronous", "FULL"))
        promised = promise.well_formed and promise.durability is not Durability.NONE
        case = self._task.case
        restarter = Restarter(self._workload, self._task.order, probe, scratch / "runs", case.subseed("recovery"))
        crasher = RecoveryCrasher(
            restarter,
            rng_for(case.seed, "recovery", policy),
            RecoveryLimits(representatives=self._task.recovery),
            fault_class=fault_class,
            power_loss=promised and fault_class is FaultClass.POWER_LOSS,
        )
        found = crasher.run(self._trace, [seen.representative for seen in classes], scratch / "states")
        clear_run(str(scratch))
        self._recovery = found if self._recovery is None else self._recovery.plus(found)
        self._failures += len(crasher.diverged)
        self._states_failed += sum(seen.states for seen in classes if seen.representative in crasher.diverged)
        identity = Identity("recovery", "converges", case.subject, fault_class.value)
        if found.mismatches:
            self._identities[identity] = self._identities.get(identity, 0) + found.mismatches
        for number, witness in enumerate(found.witnesses[:KEPT_PER_IDENTITY]):
            finding = Finding(identity, str(witness)[:2000], msgspec.to_builtins(witness))
            self._outcomes.append(
                Outcome(
                    f"recovery-{policy.value}-{number}",
                    msgspec.structs.replace(case, fault=witness.representative),
                    Verdict.FAIL,
                    Ended(EndKind.SIGNALLED, 9),
                    fired=f"computed: its recovery crashed at {', then at '.join(witness.crashes)}",
                    findings=(finding,),
                )
            )

    def _judge(self, seen: Seen, fault_class: FaultClass) -> bool:
        """Judge what a class recovered to at both ends of its moments; whether something was found."""
        self._judged += 1
        failed = False
        for state in dict.fromkeys((seen.last_state, seen.first_state)):
            history = self._history(state.op)
            view = self._view(history, seen.value, fault_class)
            findings, undone = judge_view(view, self._whole.settings)
            self._undone += undone
            if findings:
                failed = True
                self._keep(state, history, findings, seen.value)
            elif fault_class is FaultClass.POWER_LOSS:
                self._measure_loss(view, history, state)
        if failed:
            self._failures += 1
            self._states_failed += seen.states
        return failed

    def _view(self, history: History, recovered: Recovered, fault_class: FaultClass) -> View:
        return View(
            self._task.case.subject,
            fault_class,
            self._workload.contract,
            self._workload.tables,
            history,
            recovered,
            self._whole.settings.get("synchronous", "FULL"),
        )

    def _measure_loss(self, view: View, history: History, state: CrashState) -> None:
        """How many acked steps a legal power loss took, for the report."""
        rows = view.recovered.rows
        latest = {(e.table, e.key): (step, e.value) for step in history.acked for e in step.effects}
        for step in history.steps:
            if step.state is not StepState.ACKED:
                for effect in step.effects:
                    latest.pop((effect.table, effect.key), None)  # may be overwritten, so nothing is told
        behind = [step for (table, key), (step, value) in latest.items() if rows.get(table, {}).get(key) != value]
        lost = sorted({(step.end_ns, step.end_seq) for step in behind})
        if len(lost) > self._lost_steps:
            self._lost_steps = len(lost)
            self._lost_seconds = max(0.0, (history.last_ns - lost[0][0]) / 1e9)

    def _keep(self, state: CrashState, history: History, findings: tuple[Finding, ...], recovered: Recovered) -> None:
        fresh = False
        for finding in findings:
            count = self._identities.get(finding.identity, 0)
            self._identities[finding.identity] = count + 1
            fresh = fresh or count < KEPT_PER_IDENTITY
        if not fresh or len(self._outcomes) >= FAILURES_KEPT:
            return
        case = msgspec.structs.replace(self._task.case, fault=str(state))
        outcome = Outcome(
            f"state-{len(self._outcomes)}",
            case,
            Verdict.FAIL,
            history.ended,
            fired=f"computed: {state.kind} when {state.op} of {len(self._trace)} operations were done",
            findings=findings,
            acked=len(history.acked),
        )
        if self._task.keep:
            evidence = Path(self._task.scratch) / f"evidence{self._numbers}" / EVIDENCE
            self._numbers += 1
            evidence.mkdir(parents=True)
            with Materialiser(self._trace, evidence.parent / "states") as files:
                files.export(state, evidence)
            triplet = Triplet.of(evidence / Path(self._task.order.database).name)
            rows = None if recovered.refused else recovered.rows
            story = tell_story(history, rows, triplet, operations=self._operations(state.op))
            outcome = msgspec.structs.replace(outcome, story=story)
            saved = save_case(
                Path(self._task.keep),
                outcome,
                history,
                self._task.environment,
                evidence,
                self._task.recording,
                tables=self._workload.tables,
            )
            annotate_case(saved)
            clear_run(str(evidence.parent))
            outcome = msgspec.structs.replace(outcome, case_dir=str(saved))
        self._outcomes.append(outcome)

    def _operations(self, moment: int) -> Iterator[tuple[int, str]]:
        """What put bytes on the disk for good before a moment, or took a file away."""
        trace = self._trace
        for op in range(moment):
            if trace.kinds[op] in _TOLD:
                yield trace.ns[op], trace.describe(op).partition(" ")[2]

    def _history(self, moment: int) -> History:
        """The history at a moment, built once."""
        history = self._histories.get(moment)
        if history is None:
            before = list(filter(self._trace.happened_before(moment), self._records))
            ended = Ended(EndKind.SIGNALLED, 9)
            history = self._histories[moment] = build_history(self._task.case.case_id, before, ended)
        return history

    def result(self) -> Explored:
        return Explored(
            tuple(self._coverage),
            self._judged,
            self._failures,
            self._states_failed,
            {str(identity): count for identity, count in self._identities.items()},
            tuple(self._outcomes),
            len(self._whole.acked),
            self._lost_steps,
            self._lost_seconds,
            self._whole.settings,
            self._recovery,
            self._undone,
            tuple(self._reach),
        )
