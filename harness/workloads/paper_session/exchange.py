"""A seeded synthetic exchange: a touch that walks, and what it answers to our orders."""

import random
import zlib
from typing import Final, NamedTuple

from store.books.orders import Order
from store.books.units import ONE, decimal_text

_FIRST_MID: Final = 520_000
_STEP: Final = 900
_LEAST_MID: Final = 100_000
_HALF_SPREADS: Final = (40, 90, 130, 300)  # of a mid of 520000: 1.5, 3.5, 5 and 11.5 basis points of spread
_REJECTED, _SILENT = 0.08, 0.25


class Touch(NamedTuple):
    """Best bid and ask, in micro RLUSD for one XRP."""

    bid: int
    ask: int

    @property
    def spread_bps(self) -> float:
        """The spread in basis points of the mid."""
        return (self.ask - self.bid) * 20_000 / (self.ask + self.bid)


class Answer(NamedTuple):
    """What became of an order that was sent: a sequence number, a refusal, or neither (no answer came)."""

    tx_hash: str
    offer_sequence: int | None = None
    refusal: str = ""


class Market:
    """The touch of each tick, and the prices we quote; all of it from the seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._mid = _FIRST_MID

    def tick(self) -> Touch:
        """Walk one tick."""
        self._mid = max(_LEAST_MID, self._mid + self._rng.randint(-_STEP, _STEP))
        half = self._rng.choice(_HALF_SPREADS)
        return Touch(self._mid - half, self._mid + half)

    def quote(self, side: str, touch: Touch) -> str:
        """A price of ours: up to 1 basis point ahead of the touch, up to 15 behind it."""
        ahead = self._rng.randint(-15 * 52, 52)
        return decimal_text(touch.bid + ahead if side == "buy" else touch.ask - ahead)

    def quantity(self) -> int:
        """Drops of XRP, from a fraction of one to twenty."""
        return self._rng.randint(ONE // 3, 20 * ONE)


class PaperGateway:
    """Stands in for the exchange's gateway: answers at once, and is synchronous as the real one must be."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._sequence = 0

    def submit_and_wait(self, order_id: str) -> Answer:
        """Send an order."""
        self._sequence += 1
        tx_hash = f"{zlib.crc32(order_id.encode()):08X}"
        draw = self._rng.random()
        if draw < _REJECTED:
            return Answer(tx_hash, refusal="tecUNFUNDED_OFFER")
        if draw < _SILENT:
            return Answer(tx_hash)
        return Answer(tx_hash, self._sequence)

    def cancel(self, _order: Order) -> None:
        """Take an order off the exchange; nothing resists here."""
