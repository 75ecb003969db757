"""Roads: how a case becomes an outcome. The real road kills real processes."""

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from crashlab.engine.judge import JudgeOrder
from crashlab.engine.judge_client import JudgeClient
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, SubjectError, UsageError, did_you_mean
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.contract import Contract
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.writers.launcher import Launcher, make_launcher
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
    Slots are made when first needed.
    """

    def __init__(
        self,
        subject: Subject,
        workspace: Workspace,
        *,
        keep: Path | None = None,
        environment: dict[str, str] | None = None,
        probe: bool = False,
        launcher: Callable[[str, tuple[str, ...]], Launcher] = make_launcher,
    ) -> None:
        self.subject = subject
        self._workspace = workspace
        self._keep = "" if keep is None else str(keep)
        self._environment = environment or {}
        self._probe = probe
        self._make_launcher = launcher
        self._idle: queue.SimpleQueue[tuple[Launcher, JudgeClient]] = queue.SimpleQueue()
        self._all: list[tuple[Launcher, JudgeClient]] = []
        self._closed = False

    def declared_params(self) -> dict[str, Param]:
        """Return the workload's parameters with the subject's overrides.

        Raises:
            SubjectError: it does not import.
            UsageError: the subject overrides a parameter that the workload does not declare.
        """
        slot = self._take()
        self._idle.put(slot)
        return self._params(slot[1], self.subject.params)

    def contract(self) -> Contract:
        """Return what the workload promises.

        Raises:
            SubjectError: it does not import.
        """
        slot = self._take()
        self._idle.put(slot)
        return slot[1].contract

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial; see `Road`."""
        fault = parse_fault(case.fault)
        try:
            slot = self._take()
        except LabError as error:
            return _broke(case, trial_id, error)
        launcher, judge = slot
        sound = False
        try:
            params = self._params(judge, {**self.subject.params, **case.params})
            directory = self._workspace.make_run()
            order = Order(
                str(directory),
                str(directory / DATABASE),
                self.subject.workload,
                case.seed,
                params,
                fault.trigger(),
                fault.hangup(),
                case.deadline_s,
                case.steps_max,
                probe=self._probe,
                tap=fault.tap(),
            )
            ended = launcher.launch(order)
            outcome = judge.judge(
                JudgeOrder(trial_id, case, order, ended, self._keep if keep else "", self._environment)
            )
            sound = True
            return outcome
        except LabError as error:
            return _broke(case, trial_id, error)
        except (UsageError, SubjectError):
            sound = True
            raise
        finally:
            if sound and not self._closed:
                self._idle.put(slot)
            else:
                _close(slot)
                if slot in self._all:
                    self._all.remove(slot)

    def _params(self, judge: JudgeClient, given: dict[str, Param]) -> dict[str, Param]:
        for name in given:
            if name not in judge.params:
                known = ", ".join(sorted(judge.params)) or "none"
                raise UsageError(
                    f"subject {self.subject.name!r} has no parameter {name!r} (it declares: {known})"
                    f"{did_you_mean(name, judge.params)}"
                )
        return {**judge.params, **given}

    def _take(self) -> tuple[Launcher, JudgeClient]:
        if self._closed:
            raise LabError("the road is closed: no more trials run on it")
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        judge = JudgeClient(self.subject.workload, self.subject.path)
        try:
            launcher = self._make_launcher(self.subject.workload, self.subject.path)
        except BaseException:
            judge.close()
            raise
        slot = (launcher, judge)
        self._all.append(slot)
        return slot

    def close(self) -> None:
        """End every launcher and judge."""
        self._closed = True
        for slot in list(self._all):
            _close(slot)
        self._all.clear()


def _broke(case: Case, trial_id: str, error: LabError) -> Outcome:
    return Outcome(trial_id, case, Verdict.ERROR, Ended(EndKind.EXITED, 0), error=str(error))


def _close(slot: tuple[Launcher, JudgeClient]) -> None:
    launcher, judge = slot
    try:
        launcher.close()
    finally:
        judge.close()
