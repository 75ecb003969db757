"""Both roads as one: computed crash states go to the trace road, everything else to real processes."""

from pathlib import Path

from crashlab.engine.moments import require_fit
from crashlab.engine.reduce import parsed_state
from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.faults.crash_state import CrashStateFault
from crashlab.faults.fault import Fault, parse_fault
from crashlab.faults.states import StatesFault
from crashlab.model.case import Case
from crashlab.model.outcome import Outcome


def is_computed(fault: Fault) -> bool:
    """True for a fault that is computed from a recording, one state or many."""
    return isinstance(fault, CrashStateFault | StatesFault)


class BothRoads:
    """Runs a case where its fault belongs; see `Road`."""

    def __init__(
        self, subject: Subject, workspace: Workspace, *, keep: Path | None, environment: dict[str, str]
    ) -> None:
        self.real = RealRoad(subject, workspace, keep=keep, environment=environment)
        self._trace = TraceRoad(subject, workspace, keep=keep, environment=environment)

    def require_fit(self, case: Case) -> None:
        """Record a computed state's run and refuse a state that is none of it.

        Raises:
            UsageError: it is none.
            LabError: the run cannot be recorded.
        """
        state = parsed_state(case)
        if state is not None:
            require_fit(self._trace.recording(case).trace(), state)

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial where it belongs."""
        road = self._trace if is_computed(parse_fault(case.fault)) else self.real
        return road.run(case, trial_id, keep=keep)

    def close(self) -> None:
        """End every process."""
        try:
            self.real.close()
        finally:
            self._trace.close()
