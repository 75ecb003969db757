"""Trades: a fill of an order, its two ledger entries and the order's new state, in one transaction."""

import logging
import sqlite3
from decimal import Decimal
from typing import Final

from store.books.ledger import BALANCES, Ledger, delta_of
from store.books.orders import LIVE, Orders, OrderStatus, no_order
from store.books.schema import IS_LIVE
from store.books.units import Holdings, decimal_text, trade
from store.books.writes import IN_SESSION
from store.errors import StoreValidation
from store.fills import Fill, Fills, fill_of
from store.validation import integer, name, shown

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
        integer(session_id, "session_id", 1)
        price, quantity, drops, worth = trade(price, quantity)
        if ts is not None:
            integer(ts, "ts")

        def work(cursor: sqlite3.Cursor) -> tuple[int, str]:
            now = self._now()
            found = cursor.execute(_STATE, (fill_id, session_id, now + self.CLOCK_SLACK_NS, order_id)).fetchone()
            if found is None:
                no_order(order_id)
            side, ordered, filled, status, recorded, session_is_open, xrp, rlusd = found
            if recorded is not None:
                self._check_repeated(recorded, (fill_id, order_id, price, quantity))
                return recorded, OrderStatus.ACTIVE
            if not session_is_open:
                self._refuse_session(session_id, now)
            if filled + drops > ordered:
                raise StoreValidation(
                    f"fill {shown(fill_id)} of {quantity} is more than order {shown(order_id)} has left: "
                    f"{decimal_text(ordered - filled)}"
                )
            cursor.execute(_FILL, (fill_id, session_id, side, price, quantity, now if ts is None else ts, order_id))
            row = cursor.lastrowid or 0
            self._post(cursor, session_id, fill_id, Holdings(xrp, rlusd), delta_of(side, drops, worth), now)
            cursor.execute(_ORDER, (drops, now, order_id))
            return row, status

        row, status = self._atomically(work)
        if status not in LIVE:
            _log.warning("fill %s came for order %s, which is %s", fill_id, order_id, status)
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

    def _check_repeated(self, fill_row: int, content: tuple[str, ...]) -> None:
        rows = self._read("SELECT fill_id, order_id, price, quantity FROM fills WHERE fill_row = ?", (fill_row,))
        if rows[0] != content:
            raise StoreValidation(f"fill {shown(content[0])} is already recorded with other contents")
