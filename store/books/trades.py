"""Trades: a fill of an order, its two ledger entries and the order's new state, in one transaction."""

import logging
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Final, NamedTuple

from store.books.ledger import BALANCES, Ledger, delta_of
from store.books.orders import LIVE, Orders, no_order
from store.books.schema import IS_LIVE
from store.books.units import Holdings, decimal_text, to_units
from store.books.writes import IN_SESSION
from store.errors import StoreValidation
from store.fills import Fill, Fills, fill_of
from store.validation import amount, integer, name, shown

_log = logging.getLogger(__name__)

_STATE: Final = (
    "SELECT side, quantity_drops, filled_drops, status, "
    f"(SELECT fill_row FROM fills WHERE fill_id = ?), (SELECT 1 {IN_SESSION}), {BALANCES} "
    "FROM orders WHERE order_id = ?"
)
_FILL: Final = (
    "INSERT INTO fills (fill_id, session_id, side, price, quantity, ts, order_id) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_ORDER: Final = (
    "UPDATE orders SET filled_drops = filled_drops + ?1, updated_at = ?2, "
    f"status = CASE WHEN NOT {IS_LIVE} THEN status "
    "WHEN filled_drops + ?1 = quantity_drops THEN 'FILLED' ELSE 'PARTIALLY_FILLED' END WHERE order_id = ?3"
)


class _State(NamedTuple):
    """What a fill is checked against, read in one statement."""

    side: str
    quantity_drops: int
    filled_drops: int
    status: str
    fill_row: int | None
    session_is_open: int | None
    xrp_drops: int
    rlusd_micros: int


class Trades(Ledger, Orders, Fills):
    """Recording fills of orders."""

    def record_order_fill(
        self,
        fill_id: str,
        *,
        order_id: str,
        session_id: int,
        price: Decimal | int | str,
        quantity: Decimal | int | str,
        ts: int | None = None,
    ) -> int:
        """Record a fill of an order under the open session, and return its row id in `fills`.

        The side is the order's, `quantity` is in whole XRP. RLUSD moves by price times quantity, rounded half to
        even to a micro unit once for the fill. Repeating the same call changes nothing. A fill of an order that
        has ended is a fact all the same: it is booked, the status stays, and a WARNING says so. Raises
        StoreValidation for an unknown order, an unknown or closed session, more than was ordered, or a `fill_id`
        recorded with other contents.
        """
        name(fill_id, "fill_id"), name(order_id, "order_id")
        integer(session_id, "session_id", least=1)
        price, quantity = amount(price, "price"), amount(quantity, "quantity")
        drops = to_units(quantity, "quantity")
        if ts is not None:
            integer(ts, "ts")
        with self._fill_transaction():
            now = self._now()
            rows = self._read(_STATE, (fill_id, session_id, now + self.CLOCK_SLACK_NS, order_id))
            if not rows:
                no_order(order_id)
            state = _State(*rows[0])
            if state.fill_row is not None:
                self._check_repeated(state.fill_row, (fill_id, order_id, price, quantity))
                return state.fill_row
            if not state.session_is_open:
                self._refuse_session(session_id, now)
            if state.filled_drops + drops > state.quantity_drops:
                raise StoreValidation(
                    f"fill {shown(fill_id)} of {quantity} is more than order {shown(order_id)} has left: "
                    f"{decimal_text(state.quantity_drops - state.filled_drops)}"
                )
            row, _ = self._write(
                _FILL, (fill_id, session_id, state.side, price, quantity, now if ts is None else ts, order_id)
            )
            before = Holdings(state.xrp_drops, state.rlusd_micros)
            self._post(session_id, fill_id, before, delta_of(state.side, drops, price), now)
            self._write(_ORDER, (drops, now, order_id))
        if state.status not in LIVE:
            _log.warning("fill %s came for order %s, which is %s", fill_id, order_id, state.status)
        return row

    def order_fills(self, order_id: str) -> list[Fill]:
        """The fills of one order in the order they were recorded; raises StoreValidation for an unknown order."""
        with self._lock:
            self._require_order(order_id)
            rows = self._read(
                "SELECT fill_row, fill_id, session_id, side, price, quantity, ts FROM fills "
                "WHERE order_id = ? ORDER BY fill_row",
                (order_id,),
            )
        return [fill_of(row) for row in rows]

    def _fill_transaction(self) -> AbstractContextManager[None]:
        """All that a fill writes is one transaction: a fill without its ledger entries is money out of nowhere."""
        return self._atomic()

    def _check_repeated(self, fill_row: int, content: tuple[str, ...]) -> None:
        rows = self._read("SELECT fill_id, order_id, price, quantity FROM fills WHERE fill_row = ?", (fill_row,))
        if rows[0] != content:
            raise StoreValidation(f"fill {shown(content[0])} is already recorded with other contents")
