"""The periodic checkpoint is TRUNCATE: it waits for readers and blocks writers, every interval."""

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class TruncatePeriodic(StateManager):
    """Keeps the WAL small the expensive way."""

    PERIODIC_MODE = "TRUNCATE"


workload = SystemMetrics(TruncatePeriodic, checkpoint_interval_s=0.05)
twin = SystemMetrics(checkpoint_interval_s=0.05)

PLANTED = Planted(
    id="truncate-periodic",
    title="TRUNCATE on the periodic path",
    broken="the loop runs wal_checkpoint(TRUNCATE) instead of PASSIVE",
    oracle="books",
    invariant="periodic-passive",
    fault="kill@ack#120",
    module=__name__,
)
