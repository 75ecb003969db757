"""The overlay is summed over all capital there ever was, not over the session's own time."""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import Holdings, StateManager


class OverlayOfAllTime(StateManager):
    """Counts what was paid in before the session a second time: it opened with that."""

    def _overlay(self, started_at: int, ended_at: int | None) -> Holdings:
        return super()._overlay(0, None)


workload = PaperSession(OverlayOfAllTime)
twin = PaperSession()

PLANTED = Planted(
    id="overlay-of-all-time",
    title="an overlay summed outside the session's window",
    broken="capital of other times is added to the session's balances",
    oracle="books",
    invariant="balances",
    fault="kill@ack#40",
    module=__name__,
)
