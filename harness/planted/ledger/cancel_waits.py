"""The finalise runs inside the transaction that completes the run, and whoever cancels waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger.progress import Finalise


class CancelWaits(RunLedger):
    """Holds the write lock while it calls the finalise, so that nothing can come in between."""

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        with self.transaction():
            yield

    def complete_run(self, run_id: str, *, finalise: Finalise | None = None) -> bool:
        """All in one transaction."""
        with self.transaction():
            return super().complete_run(run_id, finalise=finalise)


workload = RunLedgers(CancelWaits)
twin = RunLedgers()

PLANTED = Planted(
    id="cancel-waits",
    title="a cancel that waits behind a long finalise",
    broken="the owner holds the write lock while it finalises",
    oracle="books",
    invariant="cancel-is-prompt",
    module=__name__,
)
