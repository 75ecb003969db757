"""Orders and markets: what has ended never changes, orphans are given up, the rolling key is the table's."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator

from crashlab.model.history import History
from harness.workloads.paper_session.books import OrderRow, SnapshotRow
from harness.workloads.paper_session.desk import Restarted
from harness.workloads.paper_session.told import told
from store.books.market import TOUCH_KEY
from store.books.orders import ORPHAN_REASON

_NEXT: dict[str, tuple[str, ...]] = {
    "SUBMITTED": ("SUBMITTED", "ACTIVE", "PARTIALLY_FILLED", "FILLED", "CANCELED", "FAILED"),
    "ACTIVE": ("ACTIVE", "PARTIALLY_FILLED", "FILLED", "CANCELED"),
    "PARTIALLY_FILLED": ("PARTIALLY_FILLED", "FILLED", "CANCELED"),
    "FILLED": ("FILLED",),
    "CANCELED": ("CANCELED",),
    "FAILED": ("FAILED",),
}
"""From each status, those that an order may have later; an order that has ended stays what it is."""

_WEEK_NS = 7 * 24 * 3600 * 10**9


def terminal_orders(engine: Restarted, connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """No order that has ended ever changes, and a status agrees with what was filled."""
    acked = told(history).statuses
    for order in engine.after(connection).orders:
        known = acked.get(order.order_id, ["SUBMITTED"])
        # A power loss may take the newest commits, where the contract says so: then an earlier status is right.
        if order.status not in (*known, *_NEXT[known[-1]]):
            yield f"order {order.order_id} was acked as {', '.join(known)} and is {order.status} now"
        if complaint := _impossible(order):
            yield f"order {order.order_id} is {order.status} with {complaint}"


def _impossible(order: OrderRow) -> str:
    filled, all_of_it = order.filled_drops, order.quantity_drops
    match order.status:
        case "SUBMITTED" | "ACTIVE" | "FAILED" if filled:
            return f"{filled} drops filled"
        case "PARTIALLY_FILLED" if not 0 < filled < all_of_it:
            return f"{filled} of {all_of_it} drops filled"
        case "FILLED" if filled != all_of_it:
            return f"{filled} of {all_of_it} drops filled"
        case "ACTIVE" if order.offer_sequence is None:
            return "no offer sequence"
        case "SUBMITTED" if order.offer_sequence is not None:
            return "an offer sequence"
        case "CANCELED" | "FAILED" if not order.failure_reason:
            return "no reason"
        case "SUBMITTED" | "ACTIVE" | "PARTIALLY_FILLED" | "FILLED" if order.failure_reason:
            return f"the reason {order.failure_reason!r}"
    return ""


def orphans(engine: Restarted, connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """The start gives up what was submitted over 7 days ago and never given an offer sequence, and nothing else."""
    found = {order.order_id: order for order in engine.before.orders}
    limit = engine.now() - _WEEK_NS
    for order in engine.after(connection).orders:
        was = found[order.order_id]
        orphan = was.status == "SUBMITTED" and was.offer_sequence is None and was.created_at < limit
        given_up = order.failure_reason == ORPHAN_REASON
        if orphan != given_up:
            age = (engine.now() - was.created_at) / 1e9
            yield f"order {order.order_id} ({was.status}, {age:.3f} s old) is {order.status}: {order.failure_reason}"
        if was.status != order.status and not orphan:
            yield f"order {order.order_id} was {was.status} and the start made it {order.status}"


def touch_consistent(engine: Restarted, _connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """`tick_distance_to_touch` holds the newest ticks of the session that wrote last, as the table has them."""
    books = engine.before
    state = books.states.get(TOUCH_KEY)
    if not books.snapshots:
        if state is not None:
            yield f"{TOUCH_KEY} is {state} and there are no snapshots"
        return
    by_session: defaultdict[int, list[SnapshotRow]] = defaultdict(list)
    for snapshot in books.snapshots:
        by_session[snapshot.session_id].append(snapshot)
    newest = sorted(by_session[max(by_session)], key=lambda row: -row.tick)[: engine.store.TOUCH_WINDOW]
    expected = [[row.tick, row.distance_to_bid_touch_bps, row.distance_to_ask_touch_bps] for row in newest]
    found = None if state is None else json.loads(state)
    if found is None or not _same(found, expected):
        yield f"{TOUCH_KEY} is {state}, the table says {json.dumps(expected)}"


def _same(found: list[list[float | None]], expected: list[list[float | None]]) -> bool:
    # SQLite writes a float as JSON with 15 digits, where Python would use up to 17.
    return len(found) == len(expected) and all(
        a == b or (a is not None and b is not None and abs(a - b) <= 1e-13 * abs(b))
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )
