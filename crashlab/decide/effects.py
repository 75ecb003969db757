"""What differs between two samples, with an interval: shares, and percentiles. Standard library only."""

from collections.abc import Callable
from math import ceil, floor, sqrt
from statistics import NormalDist
from typing import NamedTuple

from crashlab.decide.statistics import _at_most

__all__ = ["Effect", "difference_of_shares", "quantile_ranks", "wilson_interval"]

_Z95 = 1.959963984540054
_NORMAL_FROM = 300
"""From so many expected values beyond a percentile on, the binomial is taken as normal, and a rank added for it."""


class Effect(NamedTuple):
    """B minus A, with the 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """True if the interval leaves no difference out."""
        return self.low > 0.0 or self.high < 0.0


def wilson_interval(count: int, trials: int, z: float = _Z95) -> tuple[float, float]:
    """Return Wilson's score interval of a share (JASA 22, 1927); (0.0, 1.0) without trials."""
    if not 0 <= count <= trials:
        raise ValueError(f"{count} of {trials}: expected 0 <= count <= trials")
    if not trials:
        return 0.0, 1.0
    share, square = count / trials, z * z
    middle = share + square / (2 * trials)
    half = z * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    low = (middle - half) / scale if count else 0.0
    return max(0.0, low), min(1.0, (middle + half) / scale) if count < trials else 1.0


def difference_of_shares(a: tuple[int, int], b: tuple[int, int]) -> Effect:
    """Return share b minus share a, each (count, trials), with Newcombe's interval from two Wilson intervals.

    Method 10 of Newcombe, Statistics in Medicine 17 (1998): it holds for small counts and for none. Without trials on
    one side nothing is known: 0.0, from -1.0 to 1.0.
    """
    if not a[1] or not b[1]:
        return Effect(0.0, -1.0, 1.0)
    share_a, share_b = a[0] / a[1], b[0] / b[1]
    (low_a, high_a), (low_b, high_b) = wilson_interval(*a), wilson_interval(*b)
    difference = share_b - share_a
    low = difference - sqrt((share_b - low_b) ** 2 + (high_a - share_a) ** 2)
    high = difference + sqrt((high_b - share_b) ** 2 + (share_a - low_a) ** 2)
    return Effect(difference, max(-1.0, low), min(1.0, high))


def quantile_ranks(values: int, percent: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """Return the ranks (from 1) of the ordered values between which the true percentile lies; None: too few to say.

    Distribution-free (order statistics and the binomial, e.g. Hahn & Meeker, Statistical Intervals, 5.2). Raises
    ValueError for a percentage outside 0..100, a negative number of values, a confidence outside (0, 1).
    """
    if values < 0 or not 0.0 < percent < 100.0 or not 0.0 < confidence < 1.0:
        raise ValueError(f"{values} values, {percent} %, confidence {confidence}")
    tail, share = (1.0 - confidence) / 2.0, percent / 100.0
    if values * min(share, 1.0 - share) > _NORMAL_FROM:
        half = NormalDist().inv_cdf(1.0 - tail) * sqrt(values * share * (1.0 - share)) + 1.0
        return floor(values * share - half), ceil(values * share + half) + 1
    # low: the largest rank with P(Bin < low) <= tail; high: the smallest with P(Bin < high) >= 1 - tail.
    low = _first(values, lambda count: _at_most(count, values, share) > tail)
    high = _first(values, lambda count: _at_most(count, values, share) >= 1.0 - tail)
    return (low or None), (high + 1 if high < values else None)


def _first(values: int, holds: Callable[[int], bool]) -> int:
    """The smallest count for which a condition holds that stays true from there on."""
    low, high = 0, values
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
