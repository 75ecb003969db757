"""The books as the tables hold them, read without the store, and what they must add up to."""

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from harness.workloads.paper_session.money import drops_of, moved
from store import Holdings

Named = TypeVar("Named", bound=tuple[Any, ...])


class SessionRow(NamedTuple):
    """Of `sessions`."""

    session_id: int
    parent_id: int | None
    started_at: int
    ended_at: int | None
    opening_xrp_drops: int
    opening_rlusd_micros: int
    ending_xrp_drops: int | None
    ending_rlusd_micros: int | None
    halt_reason: str | None

    @property
    def opening(self) -> Holdings:
        """What it opened with."""
        return Holdings(self.opening_xrp_drops, self.opening_rlusd_micros)


class OrderRow(NamedTuple):
    """Of `orders`."""

    order_id: str
    session_id: int
    side: str
    price: str
    quantity_drops: int
    filled_drops: int
    status: str
    created_at: int
    updated_at: int
    offer_sequence: int | None
    failure_reason: str | None


class FillRow(NamedTuple):
    """Of `fills`."""

    fill_id: str
    session_id: int
    side: str
    price: str
    quantity: str
    order_id: str | None

    @property
    def moved(self) -> Holdings:
        """What it did to the holdings, by the model's arithmetic."""
        return moved(self.side, drops_of(self.quantity), self.price)


class EntryRow(NamedTuple):
    """Of `inventory_ledger`."""

    entry_id: int
    session_id: int
    fill_id: str
    asset: str
    delta: int
    new_balance: int
    ts: int


class CapitalRow(NamedTuple):
    """Of `capital_events`."""

    event_key: str
    asset: str
    amount: int
    ts: int


class ValuationRow(NamedTuple):
    """Of `valuation_snapshots`."""

    snapshot_key: str
    session_id: int
    mid: str | None
    xrp_drops: int
    rlusd_micros: int
    value_micros: int | None
    ts: int


class SnapshotRow(NamedTuple):
    """Of `market_snapshots`."""

    session_id: int
    tick: int
    mid: str
    distance_to_bid_touch_bps: float | None
    distance_to_ask_touch_bps: float | None
    ts: int


class Books(NamedTuple):
    """Every table of the books, each in the order of its rows."""

    sessions: list[SessionRow]
    orders: list[OrderRow]
    fills: list[FillRow]
    entries: list[EntryRow]
    capital: list[CapitalRow]
    valuations: list[ValuationRow]
    snapshots: list[SnapshotRow]
    states: dict[str, str]

    def fills_of(self, session_id: int) -> Holdings:
        """What a session's fills add up to, from the fills themselves."""
        return added(fill.moved for fill in self.fills if fill.session_id == session_id)

    def capital_of(self, after: int, until: int | None) -> Holdings:
        """What was paid in, less what was taken out, later than `after` and until `until`."""
        found = [event for event in self.capital if event.ts > after and (until is None or event.ts <= until)]
        return added(Holdings(e.amount, 0) if e.asset == "XRP" else Holdings(0, e.amount) for e in found)

    def total_of(self, session: SessionRow) -> Holdings:
        """A session's opening balances, fills and overlay."""
        parts = (session.opening, self.fills_of(session.session_id))
        return added((*parts, self.capital_of(session.started_at, session.ended_at)))

    def last_written(self, session: SessionRow) -> int:
        """The latest time in the session's own rows."""
        number = session.session_id
        times = [order.updated_at for order in self.orders if order.session_id == number]
        for rows in (self.entries, self.valuations, self.snapshots):
            times += [row.ts for row in rows if row.session_id == number]
        return max(times, default=session.started_at)


def added(parts: Iterable[Holdings]) -> Holdings:
    """The sum, asset by asset."""
    held = list(parts)
    return Holdings(sum(part.xrp_drops for part in held), sum(part.rlusd_micros for part in held))


def read_books(connection: sqlite3.Connection) -> Books:
    """Read every table in one snapshot; raises sqlite3.Error where that is impossible."""
    connection.execute("BEGIN")
    try:
        return Books(
            _rows(connection, SessionRow, "sessions", "session_id"),
            _rows(connection, OrderRow, "orders", "order_row"),
            _rows(connection, FillRow, "fills", "fill_row"),
            _rows(connection, EntryRow, "inventory_ledger", "entry_id"),
            _rows(connection, CapitalRow, "capital_events", "event_id"),
            _rows(connection, ValuationRow, "valuation_snapshots", "snapshot_id"),
            _rows(connection, SnapshotRow, "market_snapshots", "snapshot_id"),
            dict(connection.execute("SELECT key, value FROM engine_state").fetchall()),
        )
    finally:
        connection.execute("ROLLBACK")


def _rows(connection: sqlite3.Connection, kind: type[Named], table: str, order: str) -> list[Named]:
    columns: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    return [kind(*row) for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")]
