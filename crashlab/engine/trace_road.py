"""The trace road: one recorded run, and any disk state that a fault could have left of it, judged."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from crashlab.engine.explore import Explored, ExploreOrder
from crashlab.engine.judge import JudgeOrder, clear_run
from crashlab.engine.recording import Recording, record
from crashlab.engine.recordings import Recordings
from crashlab.engine.road import broke, make_order
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, RecordError, UsageError
from crashlab.faults.crash_state import CrashStateFault
from crashlab.faults.fault import parse_fault
from crashlab.faults.states import StatesFault
from crashlab.model.case import Case, Param
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome, StateCount
from crashlab.states.models import Model
from crashlab.writers.order import TapPlan

BATCH_S = 600.0
"""What a batch of states may take before the lab gives it up, as an ERROR."""

SAMPLE = 0.02
"""Part of all states that is cross-checked."""


class TraceRoad:
    """Judges computed crash states; see `Road`. The same case gives the same outcome.

    A run is recorded once for each seed and set of parameters, or taken from `recording`, the directory that
    a saved case carries. `plan` replaces what the tap does in the recorded run (for controls).
    """

    def __init__(
        self,
        subject: Subject,
        workspace: Workspace,
        *,
        keep: Path | None = None,
        environment: dict[str, str] | None = None,
        recording: str = "",
        plan: TapPlan | None = None,
    ) -> None:
        self.subject = subject
        self._workspace = workspace
        self._keep = "" if keep is None else str(keep)
        self._environment = environment or {}
        self._given = recording
        self._plan = plan
        self._slots = Slots(subject)
        self._recordings = Recordings(lambda case: record(self._slots, self._workspace, case, self._plan))

    def declared_params(self) -> dict[str, Param]:
        """Return the workload's parameters with the subject's overrides; see `RealRoad`."""
        with self._slots.use() as slot:
            return self._slots.params(slot.judge, {})

    def recording(self, case: Case) -> Recording:
        """Return the recorded run of a case, making it if there is none yet.

        Raises:
            LabError: it cannot be recorded; see `crashlab.engine.recording.record`.
        """
        return self._recordings.keep(case)

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Materialise the case's crash state and judge it; or explore the many states of a `states@…` fault."""
        fault = parse_fault(case.fault)
        if isinstance(fault, StatesFault):
            return self._run_many(fault, case, trial_id, keep=keep)
        if not isinstance(fault, CrashStateFault):
            raise UsageError(
                f"fault {case.fault!r} hits a real process; the trace road takes kill@op=…, power-loss@op=…, states@…"
            )
        try:
            with self._source(case) as source, self._slots.use() as slot:
                order = make_order(self._slots, slot, self._workspace, case, fault)
                return slot.judge.judge(
                    JudgeOrder(
                        trial_id,
                        case,
                        order,
                        Ended(EndKind.SIGNALLED, 9),
                        self._keep if keep else "",
                        self._environment,
                        source,
                    )
                )
        except LabError as error:
            return broke(case, trial_id, error)

    def _source(self, case: Case) -> AbstractContextManager[str]:
        if self._given:
            return nullcontext(self._given)
        return self._recorded(case)

    @contextmanager
    def _recorded(self, case: Case) -> Iterator[str]:
        with self._recordings.use(case) as recording:
            yield recording.directory

    def _run_many(self, fault: StatesFault, case: Case, trial_id: str, *, keep: bool) -> Outcome:
        if self._given:
            raise UsageError(f"fault {case.fault!r}: a saved recording is judged state by state")
        try:
            with self._recordings.use(case) as recording:
                explored = self._explore(
                    recording, case, (fault.model,), seconds=BATCH_S, keep=keep, sample=SAMPLE, recovery=fault.recovery
                )
        except (LabError, RecordError) as error:
            return broke(case, trial_id, LabError(str(error)))
        return _many(explored, case, trial_id)

    def explore(
        self,
        case: Case,
        models: tuple[Model, ...],
        *,
        seconds: float,
        keep: bool = True,
        sample: float = SAMPLE,
        recovery: int = 0,
    ) -> Explored:
        """Explore every crash state of a case's recorded run under each model, within `seconds`.

        `recovery`: of so many class representatives of each model the recovery is crashed, too.

        Raises:
            LabError: it cannot be recorded or explored here; never a silent pass.
        """
        return self._explore(
            self.recording(case), case, models, seconds=seconds, keep=keep, sample=sample, recovery=recovery
        )

    def _explore(
        self,
        recording: Recording,
        case: Case,
        models: tuple[Model, ...],
        *,
        seconds: float,
        keep: bool,
        sample: float,
        recovery: int,
    ) -> Explored:
        scratch = self._workspace.make_run()
        with self._slots.use() as slot:
            task = ExploreOrder(
                case,
                recording.order,
                recording.directory,
                models,
                str(scratch / "explore"),
                self._keep if keep else "",
                self._environment,
                sample,
                recovery=recovery,
            )
            try:
                return slot.judge.explore(task, seconds)
            finally:
                clear_run(str(scratch))

    def close(self) -> None:
        """End every process; the recordings go with the workspace."""
        self._slots.close()


def _many(explored: Explored, case: Case, trial_id: str) -> Outcome:
    """What a batch of states showed, as the outcome of one trial: each finding once, with the state that shows it."""
    findings: dict[Identity, Finding] = {}
    for one in explored.outcomes:
        for finding in one.findings:
            evidence = {**finding.evidence, "state": one.case.fault, "case_dir": one.case_dir}
            findings.setdefault(finding.identity, Finding(finding.identity, finding.message, evidence))
    coverage = explored.coverage
    states = StateCount(
        sum(each.generated for each in coverage),
        sum(each.distinct for each in coverage),
        sum(each.classes for each in coverage),
        sum(each.disks for each in coverage),
        sum(each.recoveries for each in coverage),
        sum(each.cross_checked for each in coverage),
        explored.states_failed,
    )
    return Outcome(
        trial_id,
        case,
        Verdict.FAIL if explored.failures else Verdict.PASS,
        Ended(EndKind.SIGNALLED, 9),
        fired=f"computed from a recording: {'; '.join(map(str, coverage))}",
        findings=tuple(findings.values()),
        acked=explored.steps_acked,
        case_dir=next((one.case_dir for one in explored.outcomes if one.case_dir), ""),
        settings=explored.settings,
        states=states,
    )
