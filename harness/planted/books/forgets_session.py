"""The start looks for no session that a crash has left open: it stays open for ever."""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import StateManager


class ForgetsSession(StateManager):
    """Begins as if nothing had been before."""

    def reconcile_sessions(self) -> list[int]:
        """Find nothing."""
        return []


workload = PaperSession(ForgetsSession)
twin = PaperSession()

PLANTED = Planted(
    id="forgets-session",
    title="a session forgotten at start",
    broken="what a crash left open is neither closed nor given ending balances",
    oracle="books",
    invariant="sessions-reconciled",
    fault="kill@ack#30",
    module=__name__,
)
