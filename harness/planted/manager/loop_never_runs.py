"""The checkpoint loop is started and never runs a checkpoint.

Nobody notices while SQLite's own auto-checkpoint is on and 1000 frames come together now and then; at a lower
rate, or with it off, everything lives in the WAL.
"""

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class LoopNeverRuns(StateManager):
    """Waits for the stop event and nothing else."""

    def _run_checkpoint_loop(self, interval_s: float) -> None:
        self._stop.wait()


workload = SystemMetrics(LoopNeverRuns, checkpoint_interval_s=0.05, wal_autocheckpoint=0, patience_s=0.5)
twin = SystemMetrics(checkpoint_interval_s=0.05, wal_autocheckpoint=0, patience_s=0.5)

PLANTED = Planted(
    id="loop-never-runs",
    title="a checkpoint loop that never runs",
    broken="the thread waits for its stop event and runs no checkpoint",
    oracle="books",
    invariant="cadence",
    module=__name__,
)
