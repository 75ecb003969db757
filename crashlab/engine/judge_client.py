"""The owner's side of a judge: one process, one trial at a time, a deadline on each."""

import subprocess

from crashlab.engine.audit import Audited, AuditOrder
from crashlab.engine.explore import Explored, ExploreOrder
from crashlab.engine.judge import JudgeOrder, clear_run
from crashlab.engine.judge_worker import JudgeReady, JudgeSays
from crashlab.engine.watched import WatchedProcess
from crashlab.errors import LabError, SubjectError
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Param
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.outcome import Outcome
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.zygote import Hello

START_S = 60.0
RESTART_S = 20.0
"""A program that has not come up again after so long has not recovered."""

TRIALS_MAX = 2000
"""A judge is replaced after so many trials, so that what restart paths leak stays bounded."""


class JudgeClient:
    """A judge's process and the pipes to it."""

    def __init__(self, workload: str, path: tuple[str, ...] = ()) -> None:
        self._hello = Hello(workload, path)
        self._start()

    def _start(self) -> None:
        self._child = WatchedProcess("crashlab.engine.judge_worker")
        self._judged = 0
        with self._child.deadline(START_S):
            try:
                send_frame(self._child.stdin, self._hello)
                ready = read_frame(self._child.stdout, JudgeReady)
            except OSError as error:
                raise LabError(f"the judge did not start: {error}") from error
        if ready is None or ready.error:
            self.close()
            workload = self._hello.workload
            raise SubjectError(ready.error if ready else f"workload {workload!r}: importing it ended the process")
        self.params: dict[str, Param] = ready.params
        self.contract = ready.contract
        self.code = ready.code

    def _died(self) -> int:
        """Return the exit code of a judge that has stopped talking."""
        try:
            code = self._child.process.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.process.wait()
        self._child.kill_group()  # what its restart path had started is still in its group
        return code

    def judge(self, task: JudgeOrder) -> Outcome:
        """Judge one trial.

        A restart path that hangs or takes its process down is a finding about the program; a judge that
        dies elsewhere is an error of the lab.
        """
        says, stage = self._ask(task, RESTART_S)
        if says is not None and says.outcome is not None:
            return says.outcome
        code, overdue = self._died(), self._child.overdue
        self.close()
        clear_run(task.order.directory)
        return _fallen(task, stage, code, hung=overdue)

    def explore(self, task: ExploreOrder, seconds: float) -> Explored:
        """Explore a recording.

        Raises:
            LabError: it could not be explored, or took longer than `seconds`, or the process died.
        """
        says, stage = self._ask(task, seconds)
        if says is not None and says.explored is not None:
            return says.explored
        if says is not None:
            raise LabError(says.error)
        code, overdue = self._died(), self._child.overdue
        self.close()
        clear_run(task.scratch)
        why = f"took longer than {seconds:.0f} s" if overdue else f"died with code {code}"
        raise LabError(f"the exploration {why} at stage {stage!r}")

    def audit(self) -> Audited:
        """Run the workload's audits.

        Raises:
            SubjectError: one of them raised, or did not come to an end, or a requirement rests on nothing.
        """
        says, _ = self._ask(AuditOrder(), RESTART_S)
        if says is not None and says.audited is not None:
            return says.audited
        if says is None:
            self.close()
        why = says.error if says is not None else f"they did not come to an end within {RESTART_S:.0f} s"
        raise SubjectError(f"the audits of {self._hello.workload!r}: {why}")

    def _ask(self, task: JudgeOrder | ExploreOrder | AuditOrder, seconds: float) -> tuple[JudgeSays | None, str]:
        """Send a task; return the last word, or None if the judge died or was ended, and its last stage."""
        if self._judged >= TRIALS_MAX or self._child.process.poll() is not None:
            self.close()
            self._start()
        self._judged += 1
        stage = "order"
        with self._child.deadline(seconds):
            try:
                send_frame(self._child.stdin, task)
                while (says := read_frame(self._child.stdout, JudgeSays)) is not None:
                    if says.stage == "done":
                        return says, stage
                    stage = says.stage
            except (OSError, LabError):
                pass  # it died or was ended in the middle of a word: told by its stage
        return None, stage

    def close(self) -> None:
        """End the judge; whatever it was doing is lost."""
        self._child.close()


def _fallen(task: JudgeOrder, stage: str, code: int, *, hung: bool) -> Outcome:
    case = task.case
    if stage != "restart":
        return Outcome(
            task.trial_id, case, Verdict.ERROR, task.ended, error=f"the judge died with code {code} at stage {stage!r}"
        )
    identity = Identity("restart", "hangs" if hung else "dies", case.subject, parse_fault(case.fault).fault_class.value)
    message = (
        f"the restart path had not come up after {RESTART_S} s"
        if hung
        else f"the restart path took its process down (code {code})"
    )
    return Outcome(
        task.trial_id, case, Verdict.FAIL, task.ended, findings=(Finding(identity, message, {"code": code}),)
    )
