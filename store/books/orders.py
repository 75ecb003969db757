"""Orders: what the engine asked the exchange for, and what became of it."""

import logging
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple, NoReturn

from store.books.schema import IS_LIVE
from store.books.units import to_units
from store.books.writes import IN_SESSION, BookWrites
from store.errors import StoreValidation
from store.fills import Side
from store.validation import MAX_INTEGER, did_you_mean, integer, name, shown, usual_amount

_log = logging.getLogger(__name__)

ORPHAN_REASON: Final = "orphan: submitted, never given an offer sequence, older than 7 days"


class OrderStatus(StrEnum):
    """SUBMITTED, then ACTIVE on the book, then (partially) filled; or CANCELED, or FAILED to get there."""

    SUBMITTED = "SUBMITTED"
    ACTIVE = "ACTIVE"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    FAILED = "FAILED"


LIVE: Final = (OrderStatus.SUBMITTED, OrderStatus.ACTIVE, OrderStatus.PARTIALLY_FILLED)

_SUBMIT: Final = (
    "INSERT INTO orders (order_id, session_id, side, price, quantity_drops, status, created_at, updated_at, "
    f"submit_tx_hash) SELECT ?, ?, ?, ?, ?, 'SUBMITTED', ?, ?, ? {IN_SESSION}"
)
_ACCEPT: Final = (
    "UPDATE orders SET offer_sequence = ?, updated_at = ?, "
    "status = CASE status WHEN 'SUBMITTED' THEN 'ACTIVE' ELSE status END "
    f"WHERE order_id = ? AND offer_sequence IS NULL AND {IS_LIVE}"
)
_SENT: Final = "UPDATE orders SET submit_tx_hash = ?, updated_at = ? WHERE order_id = ? AND submit_tx_hash IS NULL"
_FAIL: Final = (
    "UPDATE orders SET status = 'FAILED', failure_reason = ?, updated_at = ? "
    "WHERE order_id = ? AND status = 'SUBMITTED'"
)
_END: Final = f"UPDATE orders SET status = ?, failure_reason = ?, updated_at = ? WHERE order_id = ? AND {IS_LIVE}"
_COLUMNS = (
    "order_row, order_id, session_id, side, price, quantity_drops, filled_drops, status, created_at, updated_at, "
    "submit_tx_hash, offer_sequence, failure_reason"
)


class Order(NamedTuple):
    """One order; amounts in drops of XRP, `price` in RLUSD for one XRP, times in nanoseconds since 1970."""

    order_row: int
    order_id: str
    session_id: int
    side: str
    price: Decimal
    quantity_drops: int
    filled_drops: int
    status: OrderStatus
    created_at: int
    updated_at: int
    submit_tx_hash: str | None
    offer_sequence: int | None
    failure_reason: str | None


class Orders(BookWrites):
    """The table `orders`. Every change compares the status first: one that has ended never changes."""

    ORPHAN_AFTER_S: ClassVar[int] = 7 * 24 * 3600

    def submit_order(
        self,
        order_id: str,
        *,
        session_id: int,
        side: Side,
        price: Decimal | int | str,
        quantity: Decimal | int | str,
        submit_tx_hash: str | None = None,
    ) -> int:
        """Record an order as SUBMITTED, before or after it is sent; returns its row id.

        `quantity` is in whole XRP. Repeating the same call changes nothing. Raises StoreValidation for an
        identifier used for another order, an unknown or closed session, a bad side or amount.
        """
        if side not in ("buy", "sell"):
            raise StoreValidation(f"side must be 'buy' or 'sell', not {shown(side)}")
        name(order_id, "order_id")
        integer(session_id, "session_id", least=1)
        price, drops = usual_amount(price, "price"), to_units(quantity, "quantity")
        tx_hash = None if submit_tx_hash is None else name(submit_tx_hash, "submit_tx_hash")
        with self._lock:
            now = self._now()
            limit = now + self.CLOCK_SLACK_NS
            row = self._insert(
                _SUBMIT, (order_id, session_id, side, price, drops, now, now, tx_hash, session_id, limit)
            )
            return row or self._submitted_before(order_id, (side, price, drops), session_id, tx_hash, now)

    def record_submit_tx(self, order_id: str, submit_tx_hash: str) -> None:
        """Note the hash of the transaction that submitted the order; raises StoreValidation for a second one."""
        name(submit_tx_hash, "submit_tx_hash")
        with self._lock:
            if self._write(_SENT, (submit_tx_hash, self._now(), order_id))[1]:
                return
            order = self._require_order(order_id)
            if order.submit_tx_hash != submit_tx_hash:
                raise StoreValidation(f"order {shown(order_id)} was submitted by {shown(order.submit_tx_hash)}")

    def accept_order(self, order_id: str, offer_sequence: int) -> bool:
        """Note the exchange's sequence number; a SUBMITTED order becomes ACTIVE. Whether the order is live.

        One that has ended stays as it is, with a WARNING, since its offer may be on the book. Raises
        StoreValidation for an unknown order, or one that has another number.
        """
        integer(offer_sequence, "offer_sequence")
        with self._lock:
            if self._write(_ACCEPT, (offer_sequence, self._now(), order_id))[1]:
                return True
            order = self._require_order(order_id)
            if order.offer_sequence not in (None, offer_sequence):
                raise StoreValidation(f"order {shown(order_id)} has offer sequence {order.offer_sequence}")
            if order.offer_sequence is None:
                status = order.status.value
                _log.warning("order %s is %s and was accepted as offer %d", order_id, status, offer_sequence)
            return order.status in LIVE

    def fail_order(self, order_id: str, reason: str) -> bool:
        """Mark a SUBMITTED order FAILED: it never got to the book. True when this call did it, False if it had ended.

        Raises StoreValidation for an unknown order, or one that is on the book.
        """
        name(reason, "reason")
        with self._lock:
            if self._write(_FAIL, (reason, self._now(), order_id))[1]:
                return True
            order = self._require_order(order_id)
            if order.status in LIVE:
                raise StoreValidation(f"order {shown(order_id)} is {order.status.value}; cancel it instead")
            return False

    def cancel_order(self, order_id: str, reason: str) -> bool:
        """Mark a live order CANCELED; True when this call did it, False (nothing changes) if it had ended.

        Raises StoreValidation for an unknown order.
        """
        name(reason, "reason")
        with self._lock:
            if self._end_order(order_id, OrderStatus.CANCELED, reason):
                return True
            self._require_order(order_id)
            return False

    def cancel_orphans(self) -> list[str]:
        """Force orphans to CANCELED and return their identifiers, oldest first.

        An orphan is SUBMITTED, without an offer sequence, and older than `ORPHAN_AFTER_S`.
        """
        with self._atomic():
            orphans = self._orphans(self._now())
            for order_id in orphans:
                self._end_order(order_id, OrderStatus.CANCELED, ORPHAN_REASON)
                _log.warning("order %s: %s", order_id, ORPHAN_REASON)
            return orphans

    def get_order(self, order_id: str) -> Order | None:
        """The order, or None."""
        rows = self._read(f"SELECT {_COLUMNS} FROM orders WHERE order_id = ?", (name(order_id, "order_id"),))
        return _order(rows[0]) if rows else None

    def live_orders(self) -> list[Order]:
        """Orders that may be on the book, of all sessions, oldest first."""
        return [_order(row) for row in self._read(f"SELECT {_COLUMNS} FROM orders WHERE {IS_LIVE} ORDER BY order_row")]

    def orders(
        self,
        session_id: int | None = None,
        *,
        status: OrderStatus | str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Order]:
        """Orders in the order they were recorded, of one session or status or all, with `order_row` above `after`."""
        where, values = "order_row > ?", [integer(after, "after")]
        if session_id is not None:
            where += " AND session_id = ?"
            values.append(integer(session_id, "session_id", least=1))
        if status is not None:
            where += f" AND status = '{checked_status(status).value}'"
        values.append(MAX_INTEGER if limit is None else integer(limit, "limit", least=1))
        rows = self._read(f"SELECT {_COLUMNS} FROM orders WHERE {where} ORDER BY order_row LIMIT ?", values)
        return [_order(row) for row in rows]

    def _submitted_before(
        self, order_id: str, content: tuple[object, ...], session_id: int, tx_hash: str | None, now: int
    ) -> int:
        """The row of an order that could not be inserted because it is there; raises when that is not why."""
        rows = self._read(
            "SELECT order_row, side, price, quantity_drops, session_id, submit_tx_hash FROM orders WHERE order_id = ?",
            (order_id,),
        )
        if not rows:
            self._refuse_session(session_id, now)
        if rows[0][1:5] != (*content, session_id) or tx_hash not in (None, rows[0][5]):
            raise StoreValidation(f"order {shown(order_id)} is already recorded with other contents")
        return int(rows[0][0])

    def _end_order(self, order_id: str, status: OrderStatus, reason: str) -> bool:
        """Compare and set: only a live order ends; a late cancel never overwrites what has ended."""
        return self._write(_END, (status.value, reason, self._now(), order_id))[1] > 0

    def _orphans(self, now: int) -> list[str]:
        rows = self._read(
            "SELECT order_id FROM orders "
            "WHERE status = 'SUBMITTED' AND offer_sequence IS NULL AND created_at < ? ORDER BY order_row",
            (now - self.ORPHAN_AFTER_S * 10**9,),
        )
        return [row[0] for row in rows]

    def _require_order(self, order_id: str) -> Order:
        order = self.get_order(order_id)
        if order is None:
            no_order(order_id)
        return order


def checked_status(value: object) -> OrderStatus:
    """The status of that name; raises StoreValidation for another."""
    if isinstance(value, str) and value in OrderStatus.__members__:
        return OrderStatus(value)
    raise StoreValidation(f"unknown order status {shown(value)}; {did_you_mean(value, OrderStatus.__members__)}")


def no_order(order_id: str) -> NoReturn:
    """Raise for an order that is not recorded."""
    raise StoreValidation(f"there is no order {shown(order_id)}")


def _order(row: tuple[object, ...]) -> Order:
    order = Order(*row)  # type: ignore[arg-type]
    return order._replace(price=Decimal(order.price), status=OrderStatus(order.status))
