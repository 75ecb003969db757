"""Start-up answers a damaged file with a new, empty database.

Every later check is green; only a ledger of what was acked tells that the books are gone.
"""

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class RecreatesDamaged(StateManager):
    """Prefers starting to telling."""

    def _on_damaged(self, problem: str) -> None:
        assert self.path is not None
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


workload = SystemMetrics(RecreatesDamaged)
twin = SystemMetrics()

PLANTED = Planted(
    id="recreates-damaged",
    title="start-up that recreates a damaged file",
    broken="a file that fails quick_check is deleted and made anew",
    oracle="durability",
    invariant="acked-row-lost",
    fault="damage@main.page#2 bit=3",
    module=__name__,
)
