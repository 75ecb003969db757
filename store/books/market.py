"""Market snapshots: the touch, our quotes, and how far from it they are."""

from decimal import Context, Decimal, Inexact
from typing import Any, ClassVar, Final, NamedTuple

from store.books.writes import IN_SESSION, BookWrites
from store.errors import StoreValidation
from store.validation import MAX_INTEGER, amount, integer, shown

TOUCH_KEY: Final = "tick_distance_to_touch"
WITHIN_BPS: Final = 2

_BPS: Final = 10_000
# 30 digits on each side of the point, sums of two, times 20000: exact, or an error.
_EXACT: Final = Context(prec=130, traps=[Inexact])
_NEAR: Final = Context(prec=40)

_COLUMNS = (
    "snapshot_id, session_id, tick, best_bid, best_ask, our_bid, our_ask, mid, distance_to_bid_touch_bps, "
    "distance_to_ask_touch_bps, within_2bps_bid, within_2bps_ask, ts"
)
_INSERT: Final = (
    "INSERT INTO market_snapshots (session_id, tick, best_bid, best_ask, our_bid, our_ask, mid, "
    "distance_to_bid_touch_bps, distance_to_ask_touch_bps, within_2bps_bid, within_2bps_ask, ts) "
    f"SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? {IN_SESSION}"
)
_ROLL: Final = (
    "INSERT INTO engine_state (key, value, updated_at) "
    "SELECT ?1, json_group_array(json_array(tick, bid, ask)), ?2 FROM ("
    "SELECT tick, distance_to_bid_touch_bps AS bid, distance_to_ask_touch_bps AS ask FROM market_snapshots "
    "WHERE session_id = ?3 ORDER BY tick DESC LIMIT ?4) WHERE true "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
)


class MarketSnapshot(NamedTuple):
    """One tick's view of the market; prices in RLUSD for one XRP, `ts` in nanoseconds since 1970.

    A distance is negative behind the touch and positive ahead of it; None, with its flag, without a quote of ours.
    """

    snapshot_id: int
    session_id: int
    tick: int
    best_bid: Decimal
    best_ask: Decimal
    our_bid: Decimal | None
    our_ask: Decimal | None
    mid: Decimal
    distance_to_bid_touch_bps: float | None
    distance_to_ask_touch_bps: float | None
    within_2bps_bid: bool | None
    within_2bps_ask: bool | None
    ts: int


class Markets(BookWrites):
    """Writing `market_snapshots` and the rolling engine-state key over the newest of them."""

    TOUCH_WINDOW: ClassVar[int] = 20

    def record_market_snapshot(
        self,
        session_id: int,
        tick: int,
        *,
        best_bid: Decimal | int | str,
        best_ask: Decimal | int | str,
        our_bid: Decimal | int | str | None = None,
        our_ask: Decimal | int | str | None = None,
    ) -> int:
        """Record one tick, and `tick_distance_to_touch` with it; returns the row id.

        Repeating the same call changes nothing. Raises StoreValidation for a tick recorded with other contents, a
        book that is crossed, an unknown or closed session.
        """
        integer(session_id, "session_id", least=1), integer(tick, "tick")
        bid, ask = amount(best_bid, "best_bid"), amount(best_ask, "best_ask")
        ours = (
            None if our_bid is None else amount(our_bid, "our_bid"),
            None if our_ask is None else amount(our_ask, "our_ask"),
        )
        best = Decimal(bid), Decimal(ask)
        if best[0] > best[1]:
            raise StoreValidation(f"best_bid {shown(bid)} is above best_ask {shown(ask)}")
        content = (bid, ask, *ours)
        bid_bps, near_bid = _distance(None if ours[0] is None else _EXACT.subtract(Decimal(ours[0]), best[0]), best)
        ask_bps, near_ask = _distance(None if ours[1] is None else _EXACT.subtract(best[1], Decimal(ours[1])), best)
        values = (session_id, tick, *content, _mid(best), bid_bps, ask_bps, near_bid, near_ask)
        with self._atomic():
            now = self._now()
            row = self._insert(_INSERT, (*values, now), session_id, now)
            if row is None:
                return self._recorded_before(session_id, tick, content, now)
            self._roll_touches(session_id, now)
        return row

    def market_snapshots(self, session_id: int, *, after: int = -1, limit: int | None = None) -> list[MarketSnapshot]:
        """A session's snapshots in the order of their ticks, with `tick` above `after`."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM market_snapshots WHERE session_id = ? AND tick > ? ORDER BY tick LIMIT ?",
            (
                integer(session_id, "session_id", least=1),
                integer(after, "after", least=-1),
                MAX_INTEGER if limit is None else integer(limit, "limit", least=1),
            ),
        )
        return [_snapshot(row) for row in rows]

    def _recorded_before(self, session_id: int, tick: int, content: tuple[str | None, ...], now: int) -> int:
        """The row of a tick that could not be inserted because it is there; raises when that is not why."""
        rows = self._read(
            "SELECT snapshot_id, best_bid, best_ask, our_bid, our_ask FROM market_snapshots "
            "WHERE session_id = ? AND tick = ?",
            (session_id, tick),
        )
        if not rows:
            self._refuse_session(session_id, now)
        if rows[0][1:] != content:
            raise StoreValidation(f"tick {tick} of session {session_id} is already recorded otherwise")
        return int(rows[0][0])

    def _roll_touches(self, session_id: int, now: int) -> None:
        """Set the rolling key to the newest `TOUCH_WINDOW` ticks: a JSON list of [tick, bid bps, ask bps].

        Newest first, made from the table, so that it cannot say anything else than the table does.
        """
        self._write(_ROLL, (TOUCH_KEY, now, session_id, self.TOUCH_WINDOW))


def _mid(best: tuple[Decimal, Decimal]) -> str:
    # Half of a sum of two finite decimals is one decimal place longer at most: no rounding.
    return format(_EXACT.divide(_EXACT.add(*best), Decimal(2)), "f")


def _distance(ahead: Decimal | None, best: tuple[Decimal, Decimal]) -> tuple[float | None, bool | None]:
    """How far ahead of the touch a quote is, in basis points of the mid, and whether that is within 2 of it.

    The float is rounded, the flag is decided exactly: |ahead|·10⁴ ≤ 2·mid.
    """
    if ahead is None:
        return None, None
    twice_parts, twice_mid = _EXACT.multiply(ahead, Decimal(2 * _BPS)), _EXACT.add(*best)
    near = _EXACT.abs(twice_parts) <= _EXACT.multiply(Decimal(WITHIN_BPS), twice_mid)
    return float(_NEAR.divide(twice_parts, twice_mid)), near


def _snapshot(row: tuple[Any, ...]) -> MarketSnapshot:
    best_bid, best_ask, our_bid, our_ask, mid = row[3:8]
    near_bid, near_ask = row[10:12]
    return MarketSnapshot(*row)._replace(
        best_bid=Decimal(best_bid),
        best_ask=Decimal(best_ask),
        our_bid=None if our_bid is None else Decimal(our_bid),
        our_ask=None if our_ask is None else Decimal(our_ask),
        mid=Decimal(mid),
        within_2bps_bid=None if near_bid is None else bool(near_bid),
        within_2bps_ask=None if near_ask is None else bool(near_ask),
    )
