"""Histograms of whole numbers in bounded memory: exact below 256, within 0.4 % above.

Buckets as in HdrHistogram (https://hdrhistogram.github.io/HdrHistogram/) with seven bits below the leading one.
Percentiles are by nearest rank and tell the upper end of a bucket, never above the largest value seen.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crashlab.decide.effects import quantile_ranks
from crashlab.report.summary.facts import Distribution, Quantile

__all__ = ["BUCKET_BITS", "Histogram", "Sparse", "buckets_of"]

BUCKET_BITS = 13
"""Every bucket of a number below 2**63 fits in so many bits."""

CURVE_POINTS = 40
_BELOW = 7

Ints = NDArray[np.int64]


def buckets_of(values: Ints) -> Ints:
    """Return the bucket of each value, 0 or more."""
    exponent = np.maximum(np.frexp(values.astype(np.float64))[1] - (_BELOW + 1), 0)
    found: Ints = (exponent.astype(np.int64) << _BELOW) + (values >> exponent)
    return found


def _top(bucket: int) -> int:
    """The largest value of a bucket."""
    if bucket < 1 << (_BELOW + 1):
        return bucket
    exponent = (bucket >> _BELOW) - 1
    return (((bucket - (exponent << _BELOW)) + 1) << exponent) - 1


class Sparse:
    """Counts by (group, bucket), as sorted arrays: a group's histogram is cut out of it when it is asked for."""

    def __init__(self) -> None:
        self._keys: Ints = np.zeros(0, dtype=np.int64)
        self._counts: Ints = np.zeros(0, dtype=np.int64)
        self._most: dict[int, int] = {}
        self._sums: dict[int, int] = {}

    def add(self, groups: Ints, values: Ints) -> None:
        """Count values, 0 or more, into their groups."""
        if not len(values):
            return
        keys, counts = np.unique((groups << BUCKET_BITS) | buckets_of(values), return_counts=True)
        self._keys, self._counts = _merged(
            np.concatenate((self._keys, keys)), np.concatenate((self._counts, counts.astype(np.int64)))
        )
        order = np.argsort(groups, kind="stable")
        ordered = groups[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        largest = np.maximum.reduceat(values[order], starts).tolist()
        summed = np.add.reduceat(values[order], starts).tolist()
        for group, most, total in zip(ordered[starts].tolist(), largest, summed, strict=True):
            self._most[group] = max(most, self._most.get(group, 0))
            self._sums[group] = self._sums.get(group, 0) + total

    def histograms(self, to: dict[int, Any]) -> dict[Any, "Histogram"]:
        """Return one histogram for each name that `to` gives the groups; groups that it leaves out are not counted."""
        found: dict[Any, Histogram] = {}
        groups = (self._keys >> BUCKET_BITS).tolist()
        buckets = (self._keys & ((1 << BUCKET_BITS) - 1)).tolist()
        for group, bucket, count in zip(groups, buckets, self._counts.tolist(), strict=True):
            if group in to:
                name = to[group]
                histogram = found.get(name)
                if histogram is None:
                    histogram = found[name] = Histogram()
                histogram.counts[bucket] = histogram.counts.get(bucket, 0) + count
        for group, most in self._most.items():
            if group in to:
                histogram = found[to[group]]
                histogram.most = max(histogram.most, most)
                histogram.total += self._sums[group]
        return found


def _merged(keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[starts], np.add.reduceat(counts, starts)


class Histogram:
    """Counts by bucket, with the largest value and the sum."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.most = 0
        self.total = 0

    def distribution(self, unit: str, scale: float = 1.0) -> Distribution:
        """Return N, mean, percentiles with intervals, maximum and curve. A value times `scale` is in `unit`."""
        ordered = sorted(self.counts.items())
        tops = [_six(min(_top(bucket), self.most) * scale) for bucket, _ in ordered]
        ends: list[int] = []
        n = 0
        for _, count in ordered:
            n += count
            ends.append(n)
        places = np.array(ends)

        def at(rank: int) -> float:
            return tops[int(np.searchsorted(places, rank))]

        def quantile(percent: float) -> Quantile:
            low, high = quantile_ranks(n, percent)
            rank = max(1, -(-n * int(percent * 10) // 1000))
            return Quantile(at(rank), None if low is None else at(low), None if high is None else at(high))

        if not n:
            return Distribution(unit, 0)
        shares = [0.0, *(100.0 * end / n for end in ends)]
        curve = [(shares[0], tops[0]), *((share, top) for share, top in zip(shares[1:], tops, strict=True))]
        mean, most = _six(self.total * scale / n), _six(self.most * scale)
        return Distribution(unit, n, mean, quantile(50), quantile(95), quantile(99), most, _thinned(curve))


def _six(value: float) -> float:
    """Six digits: what a sum of binary fractions has beyond them is noise."""
    return float(f"{value:.6g}")


def _thinned(curve: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """At most so many points, the first and last among them, spread over what is drawn: both axes count."""
    if len(curve) <= CURVE_POINTS:
        return tuple((round(x, 4), y) for x, y in curve)
    last = len(curve) - 1
    span = (curve[-1][1] - curve[0][1]) or 1.0
    along = [share / 100.0 + (value - curve[0][1]) / span for share, value in curve]
    places, wanted = [0], 2.0 / (CURVE_POINTS - 2)
    for place in range(1, last):
        if along[place] - along[places[-1]] >= wanted:
            places.append(place)
    return tuple((round(curve[place][0], 4), curve[place][1]) for place in (*places, last))
