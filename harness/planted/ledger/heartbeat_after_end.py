"""A heartbeat does not ask whether the run is still active, only whose it is."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger import STATUSES


class HeartbeatAfterEnd(RunLedger):
    """Writes into runs that have ended."""

    def heartbeat(self, run_id: str) -> bool:
        """Set the time whatever the status is."""
        fence = self._fence(run_id)
        with self._lock, self._atomic():
            return fence is not None and self._compare_and_set(
                run_id, STATUSES, "heartbeat_at = ?", (self._now(),), fence
            )


workload = RunLedgers(HeartbeatAfterEnd)
twin = RunLedgers()

PLANTED = Planted(
    id="heartbeat-after-end",
    title="a heartbeat that changes an ended run",
    broken="the update checks the fence and not the status; a cancel leaves the fence as it is",
    oracle="books",
    invariant="terminal-is-final",
    module=__name__,
)
