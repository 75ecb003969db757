"""The records of the books' model."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from harness.machines.model import Refused

ORPHAN_AFTER_NS = 7 * 24 * 3600 * 10**9
ORPHAN_REASON = "orphan: submitted, never given an offer sequence, older than 7 days"
LIVE = ("SUBMITTED", "ACTIVE", "PARTIALLY_FILLED")
TOUCH_KEY = "tick_distance_to_touch"
TOUCH_WINDOW = 20
DRIFT_KEY = "inventory_drift_at_shutdown"

Pair = tuple[int, int]


@dataclass
class Session:
    """A session; `ending` and `ended_at` are None while it is open."""

    number: int
    parent: int | None
    started_at: int
    opening: Pair
    ended_at: int | None = None
    ending: Pair | None = None
    halt: str | None = None


@dataclass
class Order:
    """An order, its fields in the order of the store's record."""

    row: int
    order_id: str
    session: int
    side: str
    price: Decimal
    quantity: int
    filled: int
    status: str
    created_at: int
    updated_at: int
    tx: str | None
    offer: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Fill:
    """A fill; `order_id` None for one that is no part of the books."""

    row: int
    fill_id: str
    session: int
    side: str
    price: str
    quantity: str
    ts: int
    order_id: str | None


def units_of(quantity: str) -> int:
    """Whole units in smallest ones; raises `Refused` for what is none."""
    units = Decimal(quantity) * 10**6
    if units <= 0 or units != int(units):
        raise Refused("no amount")
    return int(units)


def session_row(session: Session) -> tuple[Any, ...]:
    """A session's fields in the order of the store's record."""
    return (
        session.number,
        session.parent,
        session.started_at,
        session.ended_at,
        *session.opening,
        *(session.ending or (None, None)),
        session.halt,
    )
