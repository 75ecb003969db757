"""Capital that is injected again, by a caller who lost the answer, is booked again."""

from typing import Any

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import Asset, StateManager


class CapitalBookedTwice(StateManager):
    """Takes every call for a new event."""

    def inject_capital(self, event_key: str, asset: Asset | str, quantity: Any, **options: Any) -> int:
        """As ever, under a key of its own."""
        return super().inject_capital(f"{event_key}.{len(self.capital_events())}", asset, quantity, **options)


workload = PaperSession(CapitalBookedTwice)
twin = PaperSession()

PLANTED = Planted(
    id="capital-booked-twice",
    title="capital that a repetition books twice",
    broken="the caller's key does not make the event the same one",
    oracle="books",
    invariant="idempotent",
    trials=12,
    module=__name__,
)
