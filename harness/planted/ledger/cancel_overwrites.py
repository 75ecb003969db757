"""A cancel that looks first and then writes whatever it finds: between the two the run completes."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger import STATUSES


class CancelOverwrites(RunLedger):
    """Checks and acts in two steps; the write has no condition."""

    _CANCELLABLE = STATUSES

    def cancel_run(self, run_id: str, reason: str = "cancelled") -> bool:
        """Look whether the run has ended, in a transaction of its own, then close it."""
        run = self._existing(run_id)
        return run.status == "closed" if run.is_terminal else super().cancel_run(run_id, reason)


workload = RunLedgers(CancelOverwrites)
twin = RunLedgers()

PLANTED = Planted(
    id="cancel-overwrites",
    title="a cancel that overwrites `completed`",
    broken="it checks the status and then writes without a condition; a completion comes in between",
    oracle="books",
    invariant="late-cancel-is-void",
    trials=20,
    module=__name__,
)
