"""What the engine does in a run: transactions over the store, each with its effects declared beforehand.

Metrics and fills follow from their keys; an engine state's text carries a checksum of itself. So a row that
comes back can be judged alone, whatever happened to the others.
"""

import random
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from crashlab.model.seed import rng_for
from crashlab.model.step import Effect, Row, Step, Table
from store import StateManager

METRICS, FILLS, STATES = "system_metrics", "fills", "engine_state"
NAMES = ("tick_ms", "orders_open", "inventory_xrp", "spread_bps", "rpc_latency_ms")
STATE_KEYS = 8
PADDING_MAX = 240

# Shares of the kinds of steps; what is left is a transaction of several rows.
_METRIC, _FILL, _UPSERT, _DELETE = 0.5, 0.68, 0.82, 0.88


def metric_content(key: str) -> tuple[str, int]:
    """Return the name and value that belong to a metric's key."""
    value = zlib.crc32(key.encode())
    return NAMES[value % len(NAMES)], value


def fill_content(fill_id: str) -> tuple[str, str, str]:
    """Return the side, price and quantity that belong to a fill's identifier."""
    number = zlib.crc32(fill_id.encode())
    side = "buy" if number & 1 else "sell"
    return side, f"{1 + number % 9973}.{number % 100:02d}", f"{1 + number // 9973 % 997}.{number % 1000:03d}"


def state_text(number: int, padding: str) -> str:
    """Return an engine state's text: content and the checksum of it."""
    content = f"{number}|{padding}"
    return f"{content}|{zlib.crc32(content.encode()):08x}"


def _metric_is_right(key: Row, value: Row) -> bool:
    return value[:2] == metric_content(key[0]) and isinstance(value[2], int)


def _fill_is_right(key: Row, value: Row) -> bool:
    return value[1:4] == fill_content(key[0]) and isinstance(value[4], int)


def _state_is_right(_key: Row, value: Row) -> bool:
    content, _, checksum = value[0].rpartition("|")
    return bool(checksum == f"{zlib.crc32(content.encode()):08x}")


TABLES = (
    Table(METRICS, ("metric_key",), ("name", "value", "ts"), _metric_is_right),
    Table(FILLS, ("fill_id",), ("session_id", "side", "price", "quantity", "ts"), _fill_is_right),
    Table(STATES, ("key",), ("value",), _state_is_right),
)

Act = Callable[[], object]
Deed = tuple[Effect, Act]
"""One row's write: what it is meant to do to the database, and the call that does it."""


class Activity:
    """The steps of one lane; the same seed, lane and parameters give the same steps.

    `now()` gives nanoseconds of the stepped clock for the rows' timestamps.
    """

    def __init__(
        self, store: StateManager, session: int, lane: str, seed: int, now: Callable[[], int], rows_per_step: int
    ) -> None:
        self._store = store
        self._session = session
        self._lane = lane
        self._now = now
        self._rows = rows_per_step
        self._rng: random.Random = rng_for(seed, "activity", lane)

    def steps(self, count: int) -> Iterator[Step]:
        """Yield `count` steps, numbered from 0."""
        for number in range(count):
            yield self.step(number)

    def step(self, number: int) -> Step:
        """Draw the next step: one row written, changed or deleted, or several rows in one transaction."""
        kind = self._rng.random()
        if kind < _METRIC:
            return _single(number, self._metric(number))
        if kind < _FILL:
            return _single(number, self._fill(number))
        if kind < _UPSERT:
            return _single(number, self._upsert(number))
        if kind < _DELETE:
            return _single(number, self._delete())
        deeds = [self._metric(number, index) for index in range(self._rows - 2)]
        deeds += [self._fill(number), self._upsert(number)]
        return Step(number, tuple(effect for effect, _ in deeds), partial(self._together, deeds))

    def _together(self, deeds: list[Deed]) -> None:
        with self._store.transaction():
            for _, act in deeds:
                act()

    def _metric(self, number: int, index: int = 0) -> Deed:
        key, ts = f"{self._lane}-{number}-{index}", self._now()
        name, value = metric_content(key)
        act = partial(self._store.record_system_metric, name, value, key=key, session_id=self._session, ts=ts)
        return Effect(METRICS, (key,), (name, value, ts)), act

    def _fill(self, number: int) -> Deed:
        fill_id, ts = f"{self._lane}-{number}", self._now()
        side, price, quantity = fill_content(fill_id)
        act: Act = partial(
            self._store.record_fill,
            fill_id,
            session_id=self._session,
            side="buy" if side == "buy" else "sell",
            price=price,
            quantity=quantity,
            ts=ts,
        )
        return Effect(FILLS, (fill_id,), (self._session, side, price, quantity, ts)), act

    def _upsert(self, number: int) -> Deed:
        key = self._state_key()
        text = state_text(number, self._lane[:1] * self._rng.randrange(PADDING_MAX))
        return Effect(STATES, (key,), (text,)), partial(self._store.set_engine_state, key, text)

    def _delete(self) -> Deed:
        key = self._state_key()
        return Effect(STATES, (key,), None), partial(self._store.delete_engine_state, key)

    def _state_key(self) -> str:
        return f"state.{self._rng.randrange(STATE_KEYS)}"


def _single(number: int, deed: Deed) -> Step:
    effect, act = deed

    def do() -> None:
        act()

    return Step(number, (effect,), do)
