"""A completion that is repeated answers False: the run is not this owner's any more, since it has completed."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger.progress import Finalise


class RetrySaysNo(RunLedger):
    """Answers whether this call did it, not whether it is done."""

    def complete_run(self, run_id: str, *, finalise: Finalise | None = None) -> bool:
        """Complete the run once."""
        return run_id in self.owned and super().complete_run(run_id, finalise=finalise)


workload = RunLedgers(RetrySaysNo)
twin = RunLedgers()

PLANTED = Planted(
    id="retry-says-no",
    title="a completion that may not be repeated",
    broken="a caller that did not hear the answer asks again and is told that the run was lost",
    oracle="books",
    invariant="retry-is-harmless",
    module=__name__,
)
