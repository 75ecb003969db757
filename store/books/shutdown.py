"""The shutdown, in the one right order: each later step relies on the earlier ones."""

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from store.books.halts import MAX_DETAIL, HaltReason, checked_reason
from store.books.orders import Order
from store.books.start import ENGINE_STATUS, HALTED, Starts
from store.books.summary import Summaries
from store.books.synchronous import must_be_synchronous
from store.books.units import Holdings, checked_holdings
from store.books.valuation import Valuations
from store.errors import StoreError, StoreValidation
from store.validation import amount, text

_log = logging.getLogger(__name__)

Cancel = Callable[[Order], object]


class Halt(NamedTuple):
    """What a shutdown is told, checked."""

    session_id: int
    reason: HaltReason
    detail: str
    engine_total: Holdings
    cancel: Cancel
    mid: str | None


Step = tuple[str, Callable[[Halt], object]]


class Shutdowns(Starts, Summaries, Valuations):
    """Ending a session and the store with it."""

    def close(self) -> None:
        """Close the store."""
        raise NotImplementedError

    def shutdown(
        self,
        session_id: int,
        reason: HaltReason | str,
        detail: str = "",
        *,
        engine_total: Holdings,
        cancel: Cancel,
        mid: Decimal | int | str | None = None,
    ) -> None:
        """End the session and close the store.

        In this order: record the halt, cancel live orders, write the valuation snapshot, check for drift, log the
        summary, `close_session`, `engine_status=HALTED`, `close()`. `engine_total` is what the engine itself
        counted; `cancel(order)` takes one order off the exchange and must be synchronous; `mid` values the
        holdings (default: the session's last market snapshot's).

        Bad arguments raise StoreValidation before anything is done. A step that fails is logged at ERROR and does
        not stop the later ones; the first such error is raised once the store is closed. Each step may be
        repeated, so a shutdown that was cut short can be run again on a store opened anew.
        """
        halt = Halt(
            session_id,
            checked_reason(reason),
            text(detail, "detail", MAX_DETAIL),
            checked_holdings(engine_total, "engine_total"),
            must_be_synchronous(cancel, "cancel"),
            None if mid is None else amount(mid, "mid"),
        )
        if self.get_session(session_id) is None:
            raise StoreValidation(f"there is no session {session_id} to shut down")
        if self._in_block:
            raise StoreError("shutdown() inside a transaction() would be rolled back by its own close()")
        first: Exception | None = None
        try:
            for title, step in self._shutdown_steps():
                try:
                    step(halt)
                except Exception as error:
                    _log.error("shutdown of session %d: %s failed; going on", session_id, title, exc_info=error)
                    first = first or error
        finally:
            self.close()
        if first is not None:
            raise first

    def _shutdown_steps(self) -> tuple[Step, ...]:
        """The steps with their names, in order; after the last one the store is closed in any case."""
        return (
            ("recording the halt", lambda halt: self.record_halt(halt.session_id, halt.reason, halt.detail)),
            ("cancelling live orders", self._cancel_live_orders),
            ("the valuation snapshot", self._final_valuation),
            ("the drift check", lambda halt: self.check_inventory_drift(halt.session_id, halt.engine_total)),
            ("the summary", lambda halt: _log.info("%s", self.session_summary(halt.session_id))),
            ("closing the session", lambda halt: self.close_session(halt.session_id, halt.reason, halt.detail)),
            ("engine_status", lambda _halt: self.set_engine_state(ENGINE_STATUS, HALTED)),
            ("closing the store", lambda _halt: self.close()),
        )

    def _cancel_live_orders(self, halt: Halt) -> None:
        """Take each live order off the exchange, then mark it; one that resists stays live in the books."""
        first: Exception | None = None
        for order in self.live_orders():
            try:
                halt.cancel(order)
                self.cancel_order(order.order_id, f"shutdown: {halt.reason}")
            except Exception as error:
                _log.error("order %s cannot be cancelled and stays live", order.order_id, exc_info=error)
                first = first or error
        if first is not None:
            raise first

    def _final_valuation(self, halt: Halt) -> None:
        key = f"shutdown-{halt.session_id}"
        with self._lock:
            session = self.get_session(halt.session_id)
            # Else this is a repetition, maybe with another price; and closed books stay as they are.
            if session and session.ended_at is None and self.get_valuation(key) is None:
                mid = halt.mid or self._last_mid(halt.session_id)
                self.write_valuation_snapshot(key, session_id=halt.session_id, mid=mid)

    def _last_mid(self, session_id: int) -> str | None:
        rows = self._read(
            "SELECT mid FROM market_snapshots WHERE session_id = ? ORDER BY tick DESC LIMIT 1", (session_id,)
        )
        return str(rows[0][0]) if rows else None
