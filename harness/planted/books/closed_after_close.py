"""The shutdown closes the store first and the session afterwards: every session is left open."""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import StateManager
from store.books.shutdown import Step


class ClosedAfterClose(StateManager):
    """Has the last steps in another order."""

    def _shutdown_steps(self) -> tuple[Step, ...]:
        *first, session, status, store = super()._shutdown_steps()
        return (*first, store, session, status)


workload = PaperSession(ClosedAfterClose, duration_s=8)
twin = PaperSession(duration_s=8)

PLANTED = Planted(
    id="closed-after-close",
    title="a session that is closed after close()",
    broken="the store is closed when the session's end is to be written",
    oracle="books",
    invariant="shutdown-sequence",
    module=__name__,
)
