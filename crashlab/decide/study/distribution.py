"""Distributions with intervals: over the time of a fault, and over measured values.

Over time: a run's rests come in cycles, from one advance of the checkpoints to the next, and cycles are what
repeats. So the interval of a quantile is a bootstrap over blocks of whole cycles (B. Efron, R. Tibshirani, An
Introduction to the Bootstrap, chapter 8); with fewer than `CYCLES_MIN` there is none. Over measured values: the
interval between order statistics, which assumes no shape (`crashlab.decide.effects`). No interval is given where
the sample is too small for one.
"""

from collections.abc import Sequence
from enum import StrEnum
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from crashlab.decide.effects import quantile_ranks
from crashlab.decide.statistics import percentile

__all__ = ["Clock", "Distribution", "Quantile", "Spell", "measured", "over_time", "quantile_interval"]

Floats = NDArray[np.float64]

CYCLES_MIN = 8
BLOCKS_MAX = 100
RESAMPLES = 200
CURVE = (0, 1, 2, 5, *range(10, 91, 5), 95, 98, 99, 100)
QUANTILES = (50, 95, 99, 100)
DIGITS = 9
"""Decimals kept: a billionth of a second, and none of the noise of adding floats."""


class Clock(StrEnum):
    """Which time a figure is about."""

    STEPPED = "stepped"
    REAL = "real"
    COMPUTED = "computed"


class Quantile(msgspec.Struct, frozen=True):
    """A value with its 95 % interval; None where there is too little for one, or no bound on that side."""

    value: float
    low: float | None = None
    high: float | None = None


class Distribution(msgspec.Struct, frozen=True):
    """How a quantity is distributed; see docs/reference/records.md for each field."""

    unit: str
    clock: str
    n: int
    over: str
    mean: float
    p50: Quantile
    p95: Quantile
    p99: Quantile
    max: Quantile
    curve: tuple[tuple[float, float], ...] = ()


class Spell(msgspec.Struct, frozen=True):
    """For `weight` seconds the quantity went from `low` to `high`, evenly (or stayed, where they are equal)."""

    weight: float
    low: float
    high: float
    cycle: int


def over_time(spells: Sequence[Spell], unit: str, rng: Random) -> Distribution:
    """Return the distribution of a quantity at a uniformly random time. `rng` is for the interval.

    Raises:
        ValueError: there are no spells.
    """
    mixture = _Mixture(spells)
    cycles = mixture.cycles
    points = mixture.quantiles(np.ones(mixture.n_blocks), CURVE)
    curve = tuple(zip(map(float, CURVE), points, strict=True))
    ends: dict[int, tuple[float | None, float | None]] = {}
    if cycles >= CYCLES_MIN:
        count = mixture.n_blocks
        drawn = []
        for _ in range(RESAMPLES):
            picks = rng.choices(range(count), k=count)
            drawn.append(mixture.quantiles(np.bincount(picks, minlength=count).astype(float), QUANTILES[:-1]))
        for place, percent in enumerate(QUANTILES[:-1]):
            values = [quantiles[place] for quantiles in drawn]
            ends[percent] = (percentile(values, 2.5), percentile(values, 97.5))
    known = dict(curve)
    shown = {percent: Quantile(known[percent], *ends.get(percent, (None, None))) for percent in QUANTILES}
    over = f"{len(spells)} moments of rest, {cycles} cycles"
    return Distribution(
        unit, Clock.STEPPED, len(spells), over, mixture.mean, shown[50], shown[95], shown[99], shown[100], curve
    )


def measured(values: Sequence[float], unit: str, over: str, clock: str = Clock.REAL) -> Distribution:
    """Return the distribution of independent values.

    Raises:
        ValueError: there are none.
    """
    ordered = sorted(values)
    curve = tuple((float(percent), percentile(ordered, percent)) for percent in CURVE)
    known = dict(curve)
    p50, p95, p99 = (Quantile(known[p], *quantile_interval(ordered, p)) for p in QUANTILES[:-1])
    mean = sum(ordered) / len(ordered)
    return Distribution(unit, clock, len(ordered), over, mean, p50, p95, p99, Quantile(ordered[-1]), curve)


def quantile_interval(ordered: Sequence[float], percent: float) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a percentile of ascending values, None on a side that they cannot bound."""
    low, high = quantile_ranks(len(ordered), percent)
    return None if low is None else ordered[low - 1], None if high is None else ordered[high - 1]


class _Mixture:
    """A mixture of uniform distributions, one a spell, whose blocks of cycles can be weighted anew."""

    def __init__(self, spells: Sequence[Spell]) -> None:
        if not spells:
            raise ValueError("no spells, so no distribution")
        weights = np.array([spell.weight for spell in spells])
        low = np.array([spell.low for spell in spells])
        high = np.array([spell.high for spell in spells])
        numbers = {cycle: number for number, cycle in enumerate(dict.fromkeys(spell.cycle for spell in spells))}
        self.cycles = len(numbers)
        self.n_blocks = min(self.cycles, BLOCKS_MAX)
        self.blocks = np.array([numbers[spell.cycle] * self.n_blocks // self.cycles for spell in spells])
        self.mean = round(float((weights * (low + high)).sum() / 2 / weights.sum()), DIGITS)
        self._weights = weights
        self._flat = high <= low
        self._low, self._high = low, high
        # The cumulative distribution is a polygon with these corners: it jumps where a spell is flat, and its
        # slope changes where one that is not begins and ends.
        self._corners = np.unique(np.concatenate([low, high]))
        self._from = np.searchsorted(self._corners, low)
        self._to = np.searchsorted(self._corners, high)

    def quantiles(self, of_block: Floats, percents: Sequence[float]) -> list[float]:
        """Return quantiles with the spells of each block weighted."""
        weights = self._weights * of_block[self.blocks]
        corners, flat = self._corners, self._flat
        jumps = np.bincount(self._from[flat], weights[flat], len(corners))
        density = weights[~flat] / (self._high - self._low)[~flat]
        slopes = np.cumsum(
            np.bincount(self._from[~flat], density, len(corners)) - np.bincount(self._to[~flat], density, len(corners))
        )
        rises = slopes[:-1] * np.diff(corners)
        # before[i], after[i]: the probability below corner i, without and with the jump there
        after = np.cumsum(jumps) + np.concatenate([[0.0], np.cumsum(rises)])
        before = after - jumps
        total = after[-1]
        found = []
        for percent in percents:
            if percent >= 100:
                seen = weights > 0
                found.append(float(self._high[seen].max()))
                continue
            wanted = total * percent / 100.0
            place = int(np.searchsorted(after, wanted * (1 - 1e-12)))
            place = min(place, len(corners) - 1)
            if wanted >= before[place] or place == 0:
                found.append(float(corners[place]))
            else:
                rise = before[place] - after[place - 1]
                part = (wanted - after[place - 1]) / rise if rise > 0 else 1.0
                found.append(float(corners[place - 1] + part * (corners[place] - corners[place - 1])))
        return [round(value, DIGITS) for value in found]
