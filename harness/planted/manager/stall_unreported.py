"""The loop takes busy=0 for "done": a backlog that grows behind a pinned reader is not reported."""

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import CheckpointRound, StateManager


class StallUnreported(StateManager):
    """Looks at `busy` only."""

    def _watch_backlog(self, done: CheckpointRound) -> None:
        pass


workload = SystemMetrics(StallUnreported, checkpoint_interval_s=0.05, reader="pinned")
twin = SystemMetrics(checkpoint_interval_s=0.05, reader="pinned")

PLANTED = Planted(
    id="stall-unreported",
    title="a loop that does not report its backlog",
    broken="rounds that succeed without finishing are taken for done",
    oracle="books",
    invariant="backlog-reported",
    module=__name__,
)
