"""The registry forgets a run when its owner ends it, and never one that somebody else ended."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger


class RegistryLeaks(RunLedger):
    """Never looks for runs that others have ended."""

    def _forget_ended(self) -> None:
        pass


workload = RunLedgers(RegistryLeaks)
twin = RunLedgers()

PLANTED = Planted(
    id="registry-leaks",
    title="a registry that grows with every cancelled run",
    broken="a run that another process ends, and its owner never asks about again, stays in memory",
    oracle="books",
    invariant="registry-bounded",
    module=__name__,
)
