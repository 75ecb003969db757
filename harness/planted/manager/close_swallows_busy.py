"""close() does not look at the row of its final checkpoint: busy=1 raises nothing."""

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import CheckpointRound, StateManager


class CloseSwallowsBusy(StateManager):
    """Believes that a PRAGMA without an exception has worked."""

    def _report_final_checkpoint(self, done: CheckpointRound) -> None:
        pass


workload = SystemMetrics(CloseSwallowsBusy, reader="pinned")
twin = SystemMetrics(reader="pinned")

PLANTED = Planted(
    id="close-swallows-busy",
    title="close() that swallows busy=1",
    broken="a final checkpoint that another connection blocks is not reported",
    oracle="books",
    invariant="close-reports",
    module=__name__,
)
