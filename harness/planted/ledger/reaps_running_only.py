"""The reaper looks at running runs only: what died while it was loading stays, and counts against the cap."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger


class ReapsRunningOnly(RunLedger):
    """Thinks that loading is over in an instant."""

    def fail_stale_runs(self, older_than_s: float = 300.0) -> list[str]:
        """Fail the running ones."""
        condition, values = self._stale(older_than_s)
        return self._fail_where(f"{condition} AND status = 'running'", values, f"no heartbeat for {older_than_s:g} s")


workload = RunLedgers(ReapsRunningOnly)
twin = RunLedgers()

PLANTED = Planted(
    id="reaps-running-only",
    title="a reaper that forgets the runs that are loading",
    broken="a run whose owner dies while loading it stays active for ever",
    oracle="books",
    invariant="stale-runs-end",
    module=__name__,
)
