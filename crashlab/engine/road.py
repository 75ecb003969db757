"""Roads: how a case becomes an outcome. The real road kills real processes."""

from pathlib import Path
from typing import Protocol

from crashlab.engine.audit import Audited
from crashlab.engine.judge import JudgeOrder
from crashlab.engine.slots import MakeLauncher, Slot, Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.faults.fault import Fault, parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.contract import Contract
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.writers.launcher import make_launcher
from crashlab.writers.order import Order

DATABASE = "state.db"


class Road(Protocol):
    """Runs cases of one subject; safe to call from several threads."""

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial. Never raises for what the subject does; `keep` saves a failing case's directory."""

    def close(self) -> None:
        """End every process and free everything."""


class RealRoad:
    """Real processes, real kills; ground truth.

    Each concurrent trial uses one slot: a launcher that forks or spawns writers and a judge's process.
    """

    def __init__(
        self,
        subject: Subject,
        workspace: Workspace,
        *,
        keep: Path | None = None,
        environment: dict[str, str] | None = None,
        probe: bool = False,
        launcher: MakeLauncher = make_launcher,
    ) -> None:
        self.subject = subject
        self._workspace = workspace
        self._keep = "" if keep is None else str(keep)
        self._environment = environment or {}
        self._probe = probe
        self._slots = Slots(subject, launcher)

    def declared_params(self) -> dict[str, Param]:
        """Return the workload's parameters with the subject's overrides.

        Raises:
            SubjectError: it does not import.
            UsageError: the subject overrides a parameter that the workload does not declare.
        """
        with self._slots.use() as slot:
            return self._slots.params(slot.judge, {})

    def code(self) -> str:
        """Return a digest of the subject's code, as its process has imported it.

        Raises:
            SubjectError: it does not import.
        """
        with self._slots.use() as slot:
            return slot.judge.code

    def contract(self) -> Contract:
        """Return what the workload promises.

        Raises:
            SubjectError: it does not import.
        """
        with self._slots.use() as slot:
            return slot.judge.contract

    def audit(self) -> Audited:
        """Run the workload's audits, and return its checks and requirements.

        Raises:
            SubjectError: it does not import, or an audit raised or hung.
        """
        with self._slots.use() as slot:
            return slot.judge.audit()

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial; see `Road`."""
        fault = parse_fault(case.fault)
        try:
            with self._slots.use() as slot:
                order = make_order(self._slots, slot, self._workspace, case, fault, probe=self._probe)
                ended = slot.launcher.launch(order)
                return slot.judge.judge(
                    JudgeOrder(trial_id, case, order, ended, self._keep if keep else "", self._environment)
                )
        except LabError as error:
            return broke(case, trial_id, error)

    def close(self) -> None:
        """End every launcher and judge."""
        self._slots.close()


def make_order(
    slots: Slots, slot: Slot, workspace: Workspace, case: Case, fault: Fault, *, probe: bool = False
) -> Order:
    """Make the order of one trial, with a fresh directory of its own.

    Raises:
        UsageError: the case has a parameter that the workload does not declare.
    """
    params = slots.params(slot.judge, case.params)
    directory = workspace.make_run()
    return Order(
        str(directory),
        str(directory / DATABASE),
        slots.subject.workload,
        case.seed,
        params,
        fault.trigger(),
        fault.hangup(),
        case.deadline_s,
        case.steps_max,
        probe=probe,
        tap=fault.tap(),
    )


def broke(case: Case, trial_id: str, error: LabError) -> Outcome:
    """Return the outcome of a trial in which the lab broke."""
    return Outcome(trial_id, case, Verdict.ERROR, Ended(EndKind.EXITED, 0), error=str(error))
