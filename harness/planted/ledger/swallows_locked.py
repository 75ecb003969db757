"""`database is locked` is caught and the caller told that the run has completed."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger.progress import Finalise


class SwallowsLocked(RunLedger):
    """Thinks that a lock is a hiccup."""

    def complete_run(self, run_id: str, *, finalise: Finalise | None = None) -> bool:
        """Complete the run, or nearly."""
        try:
            return super().complete_run(run_id, finalise=finalise)
        except sqlite3.OperationalError:
            return True


workload = RunLedgers(SwallowsLocked)
twin = RunLedgers()

PLANTED = Planted(
    id="swallows-locked",
    title="a swallowed `database is locked`",
    broken="the completion is acked although nothing was written",
    oracle="books",
    invariant="ends-as-told",
    module=__name__,
)
