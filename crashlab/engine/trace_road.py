"""The trace road: one recorded run, and any disk state that a fault could have left of it, judged."""

import threading
from pathlib import Path

import msgspec

from crashlab.engine.explore import Explored, ExploreOrder
from crashlab.engine.judge import JudgeOrder
from crashlab.engine.recording import Recording, record
from crashlab.engine.road import broke, make_order
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, UsageError
from crashlab.faults.crash_state import CrashStateFault
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.states.models import Model
from crashlab.writers.order import TapPlan


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
        self._recordings: dict[bytes, Recording] = {}
        self._lock = threading.Lock()

    def declared_params(self) -> dict[str, Param]:
        """Return the workload's parameters with the subject's overrides; see `RealRoad`."""
        with self._slots.use() as slot:
            return self._slots.params(slot.judge, {})

    def recording(self, case: Case) -> Recording:
        """Return the recorded run of a case, making it if there is none yet.

        Raises:
            LabError: it cannot be recorded; see `crashlab.engine.recording.record`.
        """
        key = msgspec.structs.replace(case, fault="none").encode()
        with self._lock:
            if key not in self._recordings:
                self._recordings[key] = record(self._slots, self._workspace, case, self._plan)
            return self._recordings[key]

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Materialise the case's crash state and judge it."""
        fault = parse_fault(case.fault)
        if not isinstance(fault, CrashStateFault):
            raise UsageError(
                f"fault {case.fault!r} hits a real process; the trace road takes kill@op=… and power-loss@op=…"
            )
        try:
            source = self._given or self.recording(case).directory
            with self._slots.use() as slot:
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

    def explore(
        self,
        case: Case,
        models: tuple[Model, ...],
        *,
        seconds: float,
        keep: bool = True,
        sample: float = 0.02,
        recovery: int = 0,
    ) -> Explored:
        """Explore every crash state of a case's recorded run under each model, within `seconds`.

        `recovery`: of so many class representatives of each model the recovery is crashed, too.

        Raises:
            LabError: it cannot be recorded or explored here; never a silent pass.
        """
        recording = self.recording(case)
        with self._slots.use() as slot:
            task = ExploreOrder(
                case,
                recording.order,
                recording.directory,
                models,
                str(self._workspace.make_run() / "explore"),
                self._keep if keep else "",
                self._environment,
                sample,
                recovery=recovery,
            )
            return slot.judge.explore(task, seconds)

    def close(self) -> None:
        """End every process; the recordings go with the workspace."""
        self._slots.close()
