"""A cancel that comes too late turns a filled order into a cancelled one: it does not compare before it sets."""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import OrderStatus, StateManager


class CancelOverwritesFilled(StateManager):
    """Writes what it was told to."""

    def _end_order(self, order_id: str, status: OrderStatus, reason: str) -> bool:
        sql = "UPDATE orders SET status = ?, failure_reason = ?, updated_at = ? WHERE order_id = ?"
        return self._write(sql, (status.value, reason, self._now(), order_id))[1] > 0


workload = PaperSession(CancelOverwritesFilled)
twin = PaperSession()

PLANTED = Planted(
    id="cancel-overwrites-filled",
    title="a cancel that overwrites a filled order",
    broken="the status is set without looking at what it is",
    oracle="books",
    invariant="terminal-orders",
    trials=20,
    module=__name__,
)
