"""The session summary, and whether its total is the engine's."""

import json
import logging
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from store.books.balances import SessionHoldings
from store.books.market import WITHIN_BPS
from store.books.orders import OrderStatus
from store.books.units import Asset, Holdings, checked_holdings, decimal_text
from store.engine_state import EngineState
from store.errors import StoreValidation
from store.sessions import Session, Sessions
from store.validation import integer

_log = logging.getLogger(__name__)

DRIFT_KEY: Final = "inventory_drift_at_shutdown"
_EDGES: Final = (5, 10)


@dataclass(frozen=True)
class TouchStats:
    """How far one side's quotes were from the touch, over `n` ticks with a quote.

    `mean_bps` and `median_bps` are signed (negative: behind the touch), the rest goes by the size alone:
    `histogram` counts at most 2, at most 5, at most 10, and more than 10 bps. All None or 0 where n is 0.
    """

    n: int
    mean_bps: float | None
    median_bps: float | None
    share_within_2bps: float | None
    histogram: tuple[int, int, int, int]


@dataclass(frozen=True)
class SessionSummary:
    """One session in numbers; `str()` is the text for people."""

    session: Session
    holdings: SessionHoldings
    orders: dict[str, int]
    fills: int
    bid: TouchStats
    ask: TouchStats

    def __str__(self) -> str:
        """A line for the session, one an asset, one for orders and fills, one a side of the book."""
        state = "open" if self.session.ended_at is None else "closed"
        lines = [f"session {self.session.session_id}: {state}, halt reason {self.session.halt_reason or 'none'}"]
        for asset in Asset:
            parts = zip(self.holdings._fields, self.holdings, strict=True)
            shown = ", ".join(f"{part.replace('_', '-')} {decimal_text(held.of(asset))}" for part, held in parts)
            lines.append(f"{asset}: {shown}")
        counts = ", ".join(f"{count} {status}" for status, count in self.orders.items() if count) or "none"
        lines.append(f"orders: {counts}; fills: {self.fills}")
        lines += [_touch_line("bid", self.bid), _touch_line("ask", self.ask)]
        return "\n".join(lines)


class Summaries(Sessions, EngineState):
    """Making the summary, and comparing its total with the engine's own."""

    def session_summary(self, session_id: int) -> SessionSummary:
        """Sum up a session from its books; raises StoreValidation when there is no such session."""
        with self._lock:
            session = self.get_session(session_id)
            if session is None:
                raise StoreValidation(f"there is no session {session_id} to sum up")
            counts = dict(
                self._read("SELECT status, count(*) FROM orders WHERE session_id = ? GROUP BY status", (session_id,))
            )
            (fills,) = self._read(
                "SELECT count(*) FROM fills WHERE session_id = ? AND order_id IS NOT NULL", (session_id,)
            )[0]
            return SessionSummary(
                session=session,
                holdings=self._holdings_of(session),
                orders={status.value: counts.get(status.value, 0) for status in OrderStatus},
                fills=fills,
                bid=self._touch_stats(session_id, "bid"),
                ask=self._touch_stats(session_id, "ask"),
            )

    def check_inventory_drift(self, session_id: int, engine_total: Holdings) -> bool:
        """Whether the session's total agrees with what the engine counted, within 1 % of the total in each asset.

        If not, that is logged at ERROR and written to `inventory_drift_at_shutdown` as JSON, in smallest units;
        if so, that key is removed. Raises StoreValidation for an unknown session or holdings that are none.
        """
        integer(session_id, "session_id", least=1), checked_holdings(engine_total, "engine_total")
        with self._atomic():
            total = self.session_holdings(session_id).total
            drifted = [asset for asset in Asset if self._drifts(total.of(asset), engine_total.of(asset))]
            if not drifted:
                self.delete_engine_state(DRIFT_KEY)
                return True
            pairs = {asset.value: {"summary": total.of(asset), "engine": engine_total.of(asset)} for asset in Asset}
            self.set_engine_state(DRIFT_KEY, json.dumps({"session": session_id, **pairs}))
        for asset in drifted:
            _log.error(
                "inventory drift in session %d: %s summary %s, engine %s; the books or the engine miss something",
                session_id, asset, decimal_text(total.of(asset)), decimal_text(engine_total.of(asset)),
            )  # fmt: skip
        return False

    def _drifts(self, summary: int, engine: int) -> bool:
        """1 % or more of the summary's total, in integers; equal totals never drift, not even at 0."""
        difference = abs(summary - engine)
        return difference != 0 and difference * 100 >= abs(summary)

    def _touch_stats(self, session_id: int, side: str) -> TouchStats:
        rows = self._read(
            f"SELECT distance_to_{side}_touch_bps, within_2bps_{side} FROM market_snapshots "
            f"WHERE session_id = ? AND distance_to_{side}_touch_bps IS NOT NULL",
            (session_id,),
        )
        if not rows:
            return TouchStats(0, None, None, None, (0, 0, 0, 0))
        distances = [bps for bps, _ in rows]
        # The flag was decided exactly; the float beside it may have been rounded onto the edge.
        near = sum(flag for _, flag in rows)
        beyond = [sum(abs(bps) > edge for bps in distances) for edge in _EDGES]
        histogram = (near, len(rows) - near - beyond[0], beyond[0] - beyond[1], beyond[1])
        return TouchStats(len(rows), fmean(distances), median(distances), near / len(rows), histogram)


def _touch_line(side: str, stats: TouchStats) -> str:
    if not stats.n:
        return f"distance to touch, {side}: no quotes"
    edges = ("0-2", "2-5", "5-10", "10+")
    bins = ", ".join(f"{edge}: {count}" for edge, count in zip(edges, stats.histogram, strict=True))
    return (
        f"distance to touch, {side}: n {stats.n}, mean {stats.mean_bps:.2f} bps, median {stats.median_bps:.2f} bps, "
        f"within {WITHIN_BPS} bps {stats.share_within_2bps:.1%}; {bins}"
    )
