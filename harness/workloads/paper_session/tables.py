"""The tables that the lab judges row by row, and an order as the engine believes it to be."""

from dataclasses import dataclass
from typing import Literal

from crashlab.model.step import Effect, Table

ORDERS, FILLS, LEDGER = "orders", "fills", "inventory_ledger"
CAPITAL, MARKETS = "capital_events", "market_snapshots"

# An order's status, failure reason and times are left out: the shutdown and the next start change them outside of
# any step. The invariants judge them.
TABLES = (
    Table(
        ORDERS,
        ("order_id",),
        ("session_id", "side", "price", "quantity_drops", "filled_drops", "submit_tx_hash", "offer_sequence"),
    ),
    Table(FILLS, ("fill_id",), ("session_id", "side", "price", "quantity", "ts", "order_id")),
    Table(LEDGER, ("fill_id", "asset"), ("session_id", "delta")),
    Table(CAPITAL, ("event_key",), ("kind", "asset", "amount", "price", "note")),
    Table(
        MARKETS,
        ("session_id", "tick"),
        (
            *("best_bid", "best_ask", "our_bid", "our_ask", "mid"),
            *("distance_to_bid_touch_bps", "distance_to_ask_touch_bps", "within_2bps_bid", "within_2bps_ask"),
        ),
    ),
)

Side = Literal["buy", "sell"]


@dataclass
class Working:
    """One order of a session."""

    order_id: str
    session: int
    side: Side
    price: str
    quantity_drops: int
    filled_drops: int = 0
    tx_hash: str | None = None
    offer_sequence: int | None = None
    status: str = "SUBMITTED"

    @property
    def left(self) -> int:
        """Drops that may still be filled."""
        return self.quantity_drops - self.filled_drops

    @property
    def is_live(self) -> bool:
        """Whether it may be on the book."""
        return self.status in ("SUBMITTED", "ACTIVE", "PARTIALLY_FILLED")

    def effect(self, *, more: int = 0, tx_hash: str | None = None, offer_sequence: int | None = None) -> Effect:
        """Its row after `more` drops have been filled, or with what the exchange answered."""
        tx, offer = tx_hash or self.tx_hash, offer_sequence or self.offer_sequence
        filled = self.filled_drops + more
        row = (self.session, self.side, self.price, self.quantity_drops, filled, tx, offer)
        return Effect(ORDERS, (self.order_id,), row)
