"""The checkpoint loop ends at its first error and says nothing.

The error is made by one checkpoint inside an open transaction of the same connection.
"""

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class LoopDiesSilently(StateManager):
    """Treats any error as the end."""

    def _on_round_error(self, error: Exception) -> None:
        raise SystemExit from error  # which ends a thread without a word


workload = SystemMetrics(LoopDiesSilently, checkpoint_interval_s=0.05, fail_round=2, patience_s=0.5)
twin = SystemMetrics(checkpoint_interval_s=0.05, fail_round=2, patience_s=0.5)

PLANTED = Planted(
    id="loop-dies-silently",
    title="a checkpoint loop that dies silently at its first error",
    broken="an exception in a round ends the thread and is not logged",
    oracle="books",
    invariant="loop-alive",
    module=__name__,
)
