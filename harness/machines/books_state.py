"""The state of the books' model: what is there, what the reads show of it, and the sums over it."""

from collections.abc import Sequence
from dataclasses import astuple
from decimal import Decimal
from typing import Any

from harness.machines.books_records import DRIFT_KEY, LIVE, Fill, Order, Pair, Session, session_row
from harness.machines.model import Model, Refused


class BooksState(Model):
    """Everything that the public reads of the books show."""

    def __init__(self) -> None:
        super().__init__()
        self.latest = 0  # of session boundaries and capital events
        self.session_rows: dict[int, Session] = {}
        self.order_rows: dict[str, Order] = {}
        self.fill_rows: dict[str, Fill] = {}
        self.ledger: list[tuple[int, int, str, str, int, int, int]] = []
        self.capital: list[tuple[int, str, str, str, int, Decimal | None, str, int]] = []
        self.values: dict[str, tuple[int, str, int, Decimal | None, int, int, int | None, int]] = {}
        self.markets: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.metrics: list[tuple[int, str, float, str | None, int | None, int]] = []
        self.state: dict[str, Any] = {}

    def view(self) -> dict[str, Any]:
        """See `Model.view`."""
        sessions = list(self.session_rows.values())
        orders = list(self.order_rows.values())
        fills = list(self.fill_rows.values())
        return {
            "sessions": [session_row(session) for session in sessions],
            "open_sessions": [session.number for session in sessions if session.ended_at is None],
            "engine_states": dict(sorted(self.state.items())),
            "orders": [astuple(order) for order in orders],
            "live_orders": [order.order_id for order in orders if order.status in LIVE],
            "fills": [(*astuple(fill)[:4], Decimal(fill.price), Decimal(fill.quantity), fill.ts) for fill in fills],
            "order_fills": {o.order_id: [f.fill_id for f in fills if f.order_id == o.order_id] for o in orders},
            "inventory_entries": self.ledger,
            "capital_events": self.capital,
            "holdings": self.holdings(),
            "session_holdings": {session.number: self._session_holdings(session) for session in sessions},
            "valuations": list(self.values.values()),
            "market_snapshots": [self.markets[key] for key in sorted(self.markets)],
            "system_metrics": self.metrics,
            "summaries": {session.number: self._summary(session) for session in sessions},
        }

    def holdings(self) -> Pair:
        """All fills and all capital."""
        return self._sum(lambda entry: True, lambda event: True)

    def _boundary(self) -> int:
        self.latest = max(self.now, self.latest + 1)
        return self.latest

    def _session(self, number: int) -> Session:
        if number not in self.session_rows:
            raise Refused(f"no session {number}")
        return self.session_rows[number]

    def _open_session(self, number: int) -> Session:
        session = self._session(number)
        if session.ended_at is not None:
            raise Refused(f"session {number} is closed")
        return session

    def _order(self, order_id: str) -> Order:
        if order_id not in self.order_rows:
            raise Refused(f"no order {order_id}")
        return self.order_rows[order_id]

    def _end_order(self, order: Order, status: str, reason: str) -> bool:
        if order.status not in LIVE:
            return False
        order.status, order.reason, order.updated_at = status, reason, self.now
        return True

    def _halt(self, session: Session, reason: str, detail: str) -> None:
        session.halt = reason
        self.state["halt.reason"], self.state["halt.detail"] = reason, detail

    def _end(self, session: Session, ended_at: int) -> None:
        session.ended_at = ended_at
        session.ending = self._session_holdings(session)[3]

    def _sum(self, of_fill: Any, of_event: Any) -> Pair:
        fills = [(entry[3], entry[4]) for entry in self.ledger if of_fill(entry)]
        events = [(event[3], event[4]) for event in self.capital if of_event(event)]
        parts = fills + events
        return sum(n for asset, n in parts if asset == "XRP"), sum(n for asset, n in parts if asset == "RLUSD")

    def _session_holdings(self, session: Session) -> tuple[Pair, Pair, Pair, Pair]:
        """Opening, fills, overlay, total."""
        fills = self._sum(lambda entry: entry[1] == session.number, lambda event: False)
        end = session.ended_at if session.ended_at is not None else 1 << 63
        overlay = self._sum(lambda entry: False, lambda event: session.started_at < event[7] <= end)
        parts = (session.opening, fills, overlay)
        return *parts, (sum(part[0] for part in parts), sum(part[1] for part in parts))

    def _summary(self, session: Session) -> tuple[dict[str, int], int]:
        statuses = ("SUBMITTED", "ACTIVE", "PARTIALLY_FILLED", "FILLED", "CANCELED", "FAILED")
        mine = [order.status for order in self.order_rows.values() if order.session == session.number]
        fills = [fill for fill in self.fill_rows.values() if fill.session == session.number and fill.order_id]
        return {status: mine.count(status) for status in statuses}, len(fills)

    def _event(self, key: str, kind: str, asset: str, units: int, price: Decimal | None) -> int:
        known = next((event for event in self.capital if event[1] == key), None)
        if known is not None:
            if known[2:6] != (kind, asset, units, price):
                raise Refused("another event")
            return known[0]
        held = self.holdings()[0 if asset == "XRP" else 1]
        if units < 0 and held + units < 0:
            raise Refused("more than there is")
        self.capital.append((len(self.capital) + 1, key, kind, asset, units, price, "", self._boundary()))
        return len(self.capital)

    def _drift(self, session_id: int, engine: Sequence[int]) -> bool:
        total = self._session_holdings(self._session(session_id))[3]
        if all(a == b or abs(a - b) * 100 < abs(a) for a, b in zip(total, engine, strict=True)):
            self.state.pop(DRIFT_KEY, None)
            return True
        pairs = {asset: {"summary": total[n], "engine": engine[n]} for n, asset in enumerate(("XRP", "RLUSD"))}
        self.state[DRIFT_KEY] = {"session": session_id, **pairs}
        return False
