"""An owner that was paused goes on heartbeating a run that another has adopted: nothing tells them apart."""

from collections.abc import Sequence

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger


class NoFence(RunLedger):
    """Compares statuses and no fences."""

    def _compare_and_set(
        self,
        run_id: str,
        sources: Sequence[str],
        assignments: str,
        values: Sequence[object],
        fence: int | None = None,
    ) -> bool:
        return super()._compare_and_set(run_id, sources, assignments, values)


workload = RunLedgers(NoFence)
twin = RunLedgers()

PLANTED = Planted(
    id="no-fence",
    title="a resurrected owner without a fence",
    broken="an update asks for the run's status only, so that a paused owner writes into what another has adopted",
    oracle="books",
    invariant="fences-hold",
    module=__name__,
)
