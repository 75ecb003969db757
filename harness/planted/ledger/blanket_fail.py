"""Whoever starts fails everything that is still active, as if no sibling could be running it."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger


class BlanketFail(RunLedger):
    """Behaves as the switch `single_process` does, without being asked."""

    def _started(self) -> None:
        self._fail_where("1", (), "left by an earlier process")


workload = RunLedgers(BlanketFail)
twin = RunLedgers()

PLANTED = Planted(
    id="blanket-fail",
    title="a blanket fail at start",
    broken="a process that starts fails its siblings' live runs",
    oracle="books",
    invariant="live-runs-left-alone",
    module=__name__,
)
