"""A loader that finishes after the run was cancelled sets it to running all the same."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger


class LoaderRevives(RunLedger):
    """Holds every run that is not running for one that is loading."""

    _LOADABLE = ("loading", "closed")


workload = RunLedgers(LoaderRevives)
twin = RunLedgers()

PLANTED = Planted(
    id="loader-revives",
    title="a loader that revives a cancelled run",
    broken="loading → running is allowed from `closed`, too",
    oracle="books",
    invariant="ended-stays-ended",
    module=__name__,
)
