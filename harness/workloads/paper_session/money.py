"""The model's own arithmetic: exact, and none of the store's."""

from decimal import Decimal
from fractions import Fraction

from store import Holdings

MICROS = 10**6


def worth(drops: int, price: str | Decimal) -> int:
    """Micro units of RLUSD for so many drops: one rounding, half to even, as `round` of a fraction does."""
    return round(Fraction(drops) * Fraction(Decimal(price)))


def drops_of(quantity: str) -> int:
    """Whole XRP as text in drops; raises ValueError for what is no whole number of drops."""
    drops = Fraction(Decimal(quantity)) * MICROS
    if drops.denominator != 1:
        raise ValueError(f"{quantity} XRP is no whole number of drops")
    return int(drops)


def moved(side: str, drops: int, price: str) -> Holdings:
    """What a fill does to the holdings."""
    value = worth(drops, price)
    return Holdings(drops, -value) if side == "buy" else Holdings(-drops, value)


def distance_bps(ahead: Decimal, best_bid: Decimal, best_ask: Decimal) -> Fraction:
    """How far ahead of the touch, in basis points of the mid."""
    return Fraction(ahead) * 20_000 / (Fraction(best_bid) + Fraction(best_ask))


def market_row(bid: str, ask: str, our_bid: str | None, our_ask: str | None) -> tuple[object, ...]:
    """The contents of a market snapshot: prices, mid, the distances to the touch, whether within 2 bps of it."""
    best = Decimal(bid), Decimal(ask)
    ahead = (
        None if our_bid is None else Decimal(our_bid) - best[0],
        None if our_ask is None else best[1] - Decimal(our_ask),
    )
    exact = [None if gap is None else distance_bps(gap, *best) for gap in ahead]
    distances = [None if bps is None else float(bps) for bps in exact]
    near = [None if bps is None else int(abs(bps) <= 2) for bps in exact]
    return (bid, ask, our_bid, our_ask, format(sum(best) / 2, "f"), *distances, *near)
