"""The program's own start-up on a crash state: a non-zero exit, a traceback or a hang is a finding.

It gets the state's files laid over what its working directory held before the run, in a directory of its own, and
is guarded but not recorded.
"""

import os
import shutil
from pathlib import Path
from random import Random

from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import SECCOMP, refusal_text
from crashlab.engine.program.roads import choose_road
from crashlab.errors import LabError
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding, Identity
from crashlab.states.materialise import Materialiser
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace
from crashlab.writers.program.launch import Launch, launch
from crashlab.writers.record.seccomp import launch_tree

__all__ = ["Restarter", "sample_states"]

_TRACEBACK = "Traceback (most recent call last)"


def sample_states(states: tuple[CrashState, ...], many: int, rng: Random) -> list[CrashState]:
    """Choose states to restart from: the first, the last and a sample of the others, without repeats."""
    ordered = sorted(set(states))
    if len(ordered) <= many:
        return ordered
    ends = [ordered[0], ordered[-1]][:many]
    return sorted({*ends, *rng.sample(ordered[1:-1], many - len(ends))})


class Restarter:
    """Runs a restart command on states of one recording; its arguments are redirected as the program's are.

    A command that the tap cannot guard is guarded at its system calls, where that works.

    Raises:
        UsageError: an argument names a database outside.
    """

    def __init__(self, argv: tuple[str, ...], copy: PrivateCopy, trace: Trace, timeout_s: float, subject: str) -> None:
        self._copy, self._trace, self._timeout_s, self._subject = copy, trace, timeout_s, subject
        self._argv, self._environment = copy.redirect(argv), copy.environment()
        self._launch = launch_tree if choose_road(argv, copy.source)[0] == SECCOMP else launch
        self._touched = set(trace.paths) | {file.path for file in trace.files}

    def run(self, state: CrashState, area: Path) -> Finding | None:
        """Run the command on one state; `area` is made and removed.

        Raises:
            LabError: it could not be started under the guard, or was refused something.
        """
        area = Path(os.path.realpath(area))
        work = area / "work"
        shutil.copytree(self._copy.before, work, symlinks=True)
        try:
            for name in self._touched:
                if not (work / name).is_dir():  # a directory that was synced is there in every state
                    (work / name).unlink(missing_ok=True)
            laid = area / "laid"
            laid.mkdir()
            with Materialiser(self._trace, area / "states") as files:
                files.export(state, laid)
            shutil.copytree(laid, work, dirs_exist_ok=True)
            theirs, ours = str(self._copy.work), str(work)
            order = Launch(
                tuple(word.replace(theirs, ours) for word in self._argv),
                str(area / "run"),
                ours,
                self._timeout_s,
                record=False,
                environment={name: value.replace(theirs, ours) for name, value in self._environment.items()},
            )
            ran = self._launch(order)
        finally:
            shutil.rmtree(area, ignore_errors=True)
        if ran.refused:
            raise LabError(f"at its restart {refusal_text(ran)}")
        said = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        if ran.limit:
            return self._finding(state, "ends", f"the restart hangs: {ran.limit}")
        if ran.code:
            how = f"exit code {ran.code}" if ran.code > 0 else f"signal {-ran.code}"
            return self._finding(state, "succeeds", f"the restart ended with {how}: {said}")
        if _TRACEBACK in ran.stderr:
            return self._finding(state, "succeeds", f"the restart printed a traceback: {said}")
        return None

    def _finding(self, state: CrashState, invariant: str, message: str) -> Finding:
        fault_class = FaultClass.PROCESS_DEATH if state.kind == KILL else FaultClass.POWER_LOSS
        return Finding(Identity("restart", invariant, self._subject, fault_class.value), message)
