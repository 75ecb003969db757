"""Counting the active runs fails the stale ones first: looking at the ledger changes it."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from harness.workloads.run_ledger.scenes import PATIENCE_S
from store import RunLedger


class CountCleansUp(RunLedger):
    """Counts only what it holds for alive, and sees to it."""

    def count_active(self, agent: str | None = None) -> int:
        """Reap, then count."""
        if not self._in_block:
            self.fail_stale_runs(PATIENCE_S)
        return super().count_active(agent)


workload = RunLedgers(CountCleansUp)
twin = RunLedgers()

PLANTED = Planted(
    id="count-cleans-up",
    title="a count of active runs that changes what it counts",
    broken="a dashboard that only counts fails the run of an owner that is slow",
    oracle="books",
    invariant="counting-is-passive",
    module=__name__,
)
