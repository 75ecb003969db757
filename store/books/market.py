"""Market snapshots: the touch, our quotes, and how far from it they are."""

import sqlite3
from decimal import Decimal
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from store.books.writes import IN_SESSION, BookWrites, only_taken
from store.errors import StoreValidation
from store.validation import MAX_INTEGER, integer, shown, usual_amount

TOUCH_KEY: Final = "tick_distance_to_touch"
WITHIN_BPS: Final = 2

_BPS: Final = 10_000

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


# Prices as text (best bid, best ask, ours), mid, distances to the touch in bps, whether within 2 of them.
_View: TypeAlias = tuple[str, str, str | None, str | None, str, float | None, float | None, int | None, int | None]


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
        integer(session_id, "session_id", 1), integer(tick, "tick")
        view = _view(best_bid, best_ask, our_bid, our_ask)

        def work(cursor: sqlite3.Cursor) -> int | None:
            now = self._now()
            values = (session_id, tick, *view, now, session_id, now + self.CLOCK_SLACK_NS)
            try:
                cursor.execute(_INSERT, values)
            except sqlite3.IntegrityError as error:
                only_taken(error)
                return self._recorded_before(session_id, tick, view[:4], now)
            if cursor.rowcount == 0:
                return self._recorded_before(session_id, tick, view[:4], now)
            row = cursor.lastrowid
            self._roll_touches(cursor, session_id, now)
            return row

        return self._atomically(work) or 0

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

    def _roll_touches(self, cursor: sqlite3.Cursor, session_id: int, now: int) -> None:
        """Set the rolling key to the newest `TOUCH_WINDOW` ticks: a JSON list of [tick, bid bps, ask bps].

        Newest first, made from the table, so that it cannot say anything else than the table does.
        """
        cursor.execute(_ROLL, (TOUCH_KEY, now, session_id, self.TOUCH_WINDOW))


def _view(best_bid: object, best_ask: object, our_bid: object, our_ask: object) -> _View:
    """Check the prices and measure the distances; raises StoreValidation for bad or crossed prices.

    All of it in integers of the last decimal place that a price has: exact but for the one division that makes the
    float. The flag is decided without it: |ahead|·10⁴ ≤ 2·mid.
    """
    bid, bid_whole, bid_part = _price(best_bid, "best_bid")
    ask, ask_whole, ask_part = _price(best_ask, "best_ask")
    places = max(len(bid_part), len(ask_part))
    bids, asks = int(bid_whole + bid_part.ljust(places, "0")), int(ask_whole + ask_part.ljust(places, "0"))
    if bids > asks:
        raise StoreValidation(f"best_bid {shown(bid)} is above best_ask {shown(ask)}")
    twice_mid = bids + asks
    ours_bid, bid_bps, near_bid = _distance(our_bid, "our_bid", bids, 1, places, twice_mid)
    ours_ask, ask_bps, near_ask = _distance(our_ask, "our_ask", asks, -1, places, twice_mid)
    return bid, ask, ours_bid, ours_ask, _half(twice_mid, places), bid_bps, ask_bps, near_bid, near_ask


def _price(value: object, what: str) -> tuple[str, str, str]:
    """A price as text, and that text before and after the point."""
    price = usual_amount(value, what)
    whole, _, part = price.partition(".")
    return price, whole, part


def _distance(
    ours: object, what: str, touch: int, sign: int, places: int, twice_mid: int
) -> tuple[str | None, float | None, int | None]:
    """Our price as text, how far ahead of the touch it is, in basis points of the mid, and whether within 2."""
    if ours is None:
        return None, None, None
    price, whole, part = _price(ours, what)
    if len(part) > places:
        finer = int(10 ** (len(part) - places))
        touch, twice_mid = touch * finer, twice_mid * finer
        ahead = int(whole + part) - touch
    else:
        ahead = int(whole + part.ljust(places, "0")) - touch
    twice_parts = 2 * _BPS * sign * ahead
    # Not a bool: binding one takes the driver three times as long as an int.
    return price, twice_parts / twice_mid, 1 if abs(twice_parts) <= WITHIN_BPS * twice_mid else 0


def _half(twice: int, places: int) -> str:
    """Half of an integer of 10**-places as decimal text; one place longer where that is needed."""
    half, odd = divmod(twice, 2)
    if odd:
        half, places = half * 10 + 5, places + 1
    if not places:
        return str(half)
    digits = str(half).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}"


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
