"""Balances are added up as floats of whole units: a unit is lost here and there."""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import StateManager
from store.books.units import ONE


class FloatDrift(StateManager):
    """Thinks in XRP, not in drops."""

    def _next_balance(self, balance: int, delta: int) -> int:
        return int((balance / ONE + delta / ONE) * ONE)


workload = PaperSession(FloatDrift)
twin = PaperSession()

PLANTED = Planted(
    id="float-drift",
    title="balances that are sums of floats",
    broken="the running balance of the ledger is added up in floats and cut off",
    oracle="books",
    invariant="balances",
    fault="kill@ack#60",
    trials=20,
    module=__name__,
)
