"""The orphan rule has no age: an order that was submitted a moment before the crash is given up."""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import StateManager


class OrphanOfAnyAge(StateManager):
    """Gives up whatever has no answer yet."""

    ORPHAN_AFTER_S = 0


workload = PaperSession(OrphanOfAnyAge)
twin = PaperSession()

PLANTED = Planted(
    id="orphan-of-any-age",
    title="an orphan rule without an age",
    broken="orders that may still be answered are cancelled at the start",
    oracle="books",
    invariant="orphans",
    fault="kill@ack#75",
    trials=30,
    module=__name__,
)
