"""The drift check allows ten whole units, however little is held: small books may be wrong by half."""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import StateManager
from store.books.units import ONE


class DriftInUnits(StateManager):
    """Compares with an amount where a share was meant."""

    def _drifts(self, summary: int, engine: int) -> bool:
        return abs(summary - engine) >= 10 * ONE


workload = PaperSession(DriftInUnits, miscount="always")
twin = PaperSession(miscount="always")

PLANTED = Planted(
    id="drift-in-units",
    title="a drift check in units instead of a share",
    broken="an engine that counts 2.5 % too much is believed",
    oracle="books",
    invariant="drift-flagged",
    module=__name__,
)
