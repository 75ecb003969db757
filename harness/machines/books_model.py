"""The model of `StateManager` and its books: dictionaries and lists, exact integers, one clock.

Written from what SPEC.md section 2 and the store's docstrings promise. It shares no code with the store.
"""

from decimal import ROUND_HALF_EVEN, Decimal

from harness.machines.books_records import (
    LIVE,
    ORPHAN_AFTER_NS,
    ORPHAN_REASON,
    TOUCH_KEY,
    TOUCH_WINDOW,
    Fill,
    Order,
    Session,
    units_of,
)
from harness.machines.books_state import BooksState
from harness.machines.model import Refused


class BooksModel(BooksState):
    """The public operations of the books."""

    # -- sessions -----------------------------------------------------------------------------------------

    def create_session(self, parent: int | None = None) -> int:
        """Open a session with all that is held."""
        if parent is not None and parent not in self.session_rows:
            raise Refused(f"no session {parent}")
        number = len(self.session_rows) + 1
        self.session_rows[number] = Session(number, parent, self._boundary(), self.holdings())
        if parent is None:
            self.state.pop("halt.reason", None)
            self.state.pop("halt.detail", None)
        return number

    def close_session(self, session_id: int, reason: str | None = None, detail: str = "") -> bool:
        """End a session."""
        session = self._session(session_id)
        if session.ended_at is not None:
            return False
        if reason is not None:
            self._halt(session, reason, detail)
        self._end(session, self._boundary())
        return True

    def record_halt(self, session_id: int, reason: str, detail: str = "") -> None:
        """Say why a session halts."""
        session = self._session(session_id)
        if session.ended_at is None:
            self._halt(session, reason, detail)
        elif session.halt != reason:
            raise Refused("closed with another reason")

    def start_session(self, parent: int | None = None) -> int:
        """The start of the engine."""
        self.reconcile_sessions()
        self.cancel_orphans()
        number = self.create_session(parent)
        self.state["engine_status"] = "RUNNING"
        return number

    def reconcile_sessions(self) -> list[int]:
        """Close what a crash left open."""
        left = [session for session in self.session_rows.values() if session.ended_at is None]
        for session in left:
            if session.halt is None:
                self._halt(session, "unexpected_halt", f"session {session.number} was left open")
            times = [session.started_at]
            times += [order.updated_at for order in self.order_rows.values() if order.session == session.number]
            times += [entry[6] for entry in self.ledger if entry[1] == session.number]
            times += [value[7] for value in self.values.values() if value[2] == session.number]
            times += [row[-1] for row in self.markets.values() if row[1] == session.number]
            self._end(session, max(times))
            self.latest = max(self.latest, max(times))
        return [session.number for session in left]

    def shutdown(self, session_id: int, reason: str, detail: str, engine_is_off_by: int) -> None:
        """The steps of a shutdown, each a transaction; what is refused does not stop the later ones."""
        session = self._session(session_id)
        total = self._session_holdings(session)[3]
        refused = False
        before = self.freeze()
        try:
            self.record_halt(session_id, reason, detail)
        except Refused:
            self._become(before)
            refused = True
        self.commit()
        for order in [order for order in self.order_rows.values() if order.status in LIVE]:
            self.cancel_order(order.order_id, f"shutdown: {reason}")
            self.commit()
        session = self._session(session_id)
        key = f"shutdown-{session_id}"
        if session.ended_at is None and key not in self.values:
            ticks = [tick for number, tick in self.markets if number == session_id]
            mid = str(self.markets[session_id, max(ticks)][7]) if ticks else None
            self.write_valuation_snapshot(key, session_id, mid)
            self.commit()
        self._drift(session_id, (total[0] + engine_is_off_by, total[1]))
        self.commit()
        self.close_session(session_id)
        self.commit()
        self.state["engine_status"] = "HALTED"
        if refused:
            self.commit()
            raise Refused("a step was refused")

    # -- orders and fills ---------------------------------------------------------------------------------

    def submit_order(
        self, order_id: str, session_id: int, side: str, price: str, quantity: str, submit_tx_hash: str | None = None
    ) -> int:
        """A new order, or the same one again."""
        drops = units_of(quantity)
        known = self.order_rows.get(order_id)
        if known is not None:
            same = (known.side, str(known.price), known.quantity, known.session) == (side, price, drops, session_id)
            if not same or submit_tx_hash not in (None, known.tx):
                raise Refused("another order")
            return known.row
        self._open_session(session_id)
        row, now = len(self.order_rows) + 1, self.now
        self.order_rows[order_id] = Order(
            row, order_id, session_id, side, Decimal(price), drops, 0, "SUBMITTED", now, now, submit_tx_hash
        )
        return row

    def record_submit_tx(self, order_id: str, submit_tx_hash: str) -> None:
        """The hash, once."""
        order = self._order(order_id)
        if order.tx == submit_tx_hash:
            return
        if order.tx is not None:
            raise Refused("it has another")
        order.tx, order.updated_at = submit_tx_hash, self.now

    def accept_order(self, order_id: str, offer_sequence: int) -> bool:
        """The exchange's number, once."""
        order = self._order(order_id)
        if order.offer is None and order.status in LIVE:
            order.offer, order.updated_at = offer_sequence, self.now
            order.status = "ACTIVE" if order.status == "SUBMITTED" else order.status
            return True
        if order.offer not in (None, offer_sequence):
            raise Refused("it has another")
        return order.status in LIVE

    def fail_order(self, order_id: str, reason: str) -> bool:
        """It never got to the book."""
        order = self._order(order_id)
        if order.status in ("ACTIVE", "PARTIALLY_FILLED"):
            raise Refused("it is on the book")
        return self._end_order(order, "FAILED", reason)

    def cancel_order(self, order_id: str, reason: str) -> bool:
        """Only a live one."""
        return self._end_order(self._order(order_id), "CANCELED", reason)

    def cancel_orphans(self) -> list[str]:
        """Old, submitted, never answered."""
        orphans = [
            order
            for order in self.order_rows.values()
            if order.status == "SUBMITTED" and order.offer is None and order.created_at < self.now - ORPHAN_AFTER_NS
        ]
        for order in orphans:
            self._end_order(order, "CANCELED", ORPHAN_REASON)
        return [order.order_id for order in orphans]

    def record_order_fill(self, fill_id: str, order_id: str, session_id: int, price: str, quantity: str) -> int:
        """A fill, its ledger entries and the order's state."""
        drops, order = units_of(quantity), self._order(order_id)
        known = self.fill_rows.get(fill_id)
        if known is not None:
            if (known.order_id, known.price, known.quantity) != (order_id, price, quantity):
                raise Refused("another fill")
            return known.row
        self._open_session(session_id)
        if order.filled + drops > order.quantity:
            raise Refused("more than was ordered")
        row = len(self.fill_rows) + 1
        self.fill_rows[fill_id] = Fill(row, fill_id, session_id, order.side, price, quantity, self.now, order_id)
        worth = int((drops * Decimal(price)).quantize(Decimal(1), ROUND_HALF_EVEN))
        sign = 1 if order.side == "buy" else -1
        balances = [sum(entry[4] for entry in self.ledger if entry[3] == asset) for asset in ("XRP", "RLUSD")]
        for asset, delta, balance in zip(("XRP", "RLUSD"), (sign * drops, -sign * worth), balances, strict=True):
            entry = (len(self.ledger) + 1, session_id, fill_id, asset, delta, balance + delta, self.now)
            self.ledger.append(entry)
        order.filled, order.updated_at = order.filled + drops, self.now
        if order.status in LIVE:
            order.status = "FILLED" if order.filled == order.quantity else "PARTIALLY_FILLED"
        return row

    def record_fill(self, fill_id: str, session_id: int, side: str, price: str, quantity: str) -> int:
        """A fill without an order, outside the books."""
        self._session(session_id)
        if fill_id in self.fill_rows:
            raise Refused("recorded before")
        row = len(self.fill_rows) + 1
        self.fill_rows[fill_id] = Fill(row, fill_id, session_id, side, price, quantity, self.now, None)
        return row

    # -- capital, values, markets, state ------------------------------------------------------------------

    def inject_capital(self, event_key: str, asset: str, quantity: str, kind: str = "deposit") -> int:
        """A deposit or a withdrawal, once for each key."""
        units = units_of(quantity)
        return self._event(event_key, kind, asset, units if kind == "deposit" else -units, None)

    def write_initial_basis(self, asset: str, quantity: str, price: str) -> int:
        """What was held before, once for each asset."""
        if asset == "RLUSD" and Decimal(price) != 1:
            raise Refused("RLUSD is worth 1")
        return self._event(f"initial_basis:{asset}", "initial_basis", asset, units_of(quantity), Decimal(price))

    def write_valuation_snapshot(self, snapshot_key: str, session_id: int, mid: str | None = None) -> int:
        """Holdings and their worth, once for each key."""
        price = None if mid is None else Decimal(mid)
        known = self.values.get(snapshot_key)
        if known is not None:
            if (known[2], known[3]) != (session_id, price):
                raise Refused("another snapshot")
            return known[0]
        self._open_session(session_id)
        xrp, rlusd = self.holdings()
        worth = None
        if price is not None:
            worth = rlusd + int((xrp * price).quantize(Decimal(1), ROUND_HALF_EVEN))
        row = len(self.values) + 1
        self.values[snapshot_key] = (row, snapshot_key, session_id, price, xrp, rlusd, worth, self.now)
        return row

    def record_market_snapshot(
        self,
        session_id: int,
        tick: int,
        best_bid: str,
        best_ask: str,
        our_bid: str | None = None,
        our_ask: str | None = None,
    ) -> int:
        """A tick, and the rolling key over the newest of them."""
        prices = [None if text is None else Decimal(text) for text in (best_bid, best_ask, our_bid, our_ask)]
        bid, ask, ours, theirs = prices
        assert bid is not None
        assert ask is not None
        if bid > ask:
            raise Refused("crossed")
        known = self.markets.get((session_id, tick))
        if known is not None:
            if list(known[3:7]) != prices:
                raise Refused("another tick")
            return int(known[0])
        self._open_session(session_id)
        mid = (bid + ask) / 2
        distances = (
            (None if ours is None else (ours - bid) * 10_000 / mid),
            (None if theirs is None else (ask - theirs) * 10_000 / mid),
        )
        row = len(self.markets) + 1
        self.markets[session_id, tick] = (
            row,
            session_id,
            tick,
            *prices,
            mid,
            *(None if bps is None else float(bps) for bps in distances),
            *(None if bps is None else abs(bps) <= 2 for bps in distances),
            self.now,
        )
        newest = sorted((key for key in self.markets if key[0] == session_id), reverse=True)[:TOUCH_WINDOW]
        self.state[TOUCH_KEY] = [[key[1], *self.markets[key][8:10]] for key in newest]
        return row

    def check_inventory_drift(self, session_id: int, engine_is_off_by: int) -> bool:
        """Whether the engine's count, off by some drops, is within 1 %."""
        total = self._session_holdings(self._session(session_id))[3]
        return self._drift(session_id, (total[0] + engine_is_off_by, total[1]))

    def set_engine_state(self, key: str, value: str) -> None:
        """A value."""
        self.state[key] = value

    def delete_engine_state(self, key: str) -> bool:
        """Whether there was one."""
        return self.state.pop(key, None) is not None

    def record_system_metric(
        self, name: str, value: float, key: str | None = None, session_id: int | None = None
    ) -> int:
        """A number, once for each key."""
        if session_id is not None:
            self._session(session_id)
        if key is not None and any(metric[3] == key for metric in self.metrics):
            raise Refused("recorded before")
        self.metrics.append((len(self.metrics) + 1, name, value, key, session_id, self.now))
        return len(self.metrics)
