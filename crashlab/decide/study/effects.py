"""Comparing cells that differ in one axis: an effect with its interval, never two numbers side by side alone."""

from collections.abc import Callable, Sequence
from math import hypot
from random import Random

import numpy as np
from numpy.typing import NDArray

from crashlab.decide.effects import difference_of_shares
from crashlab.decide.statistics import percentile
from crashlab.decide.study.axes import Cell
from crashlab.decide.study.distribution import Clock, Distribution, Quantile
from crashlab.decide.study.results import Effect
from crashlab.decide.study.text import number

__all__ = ["compare_counts", "compare_over_time", "compare_samples", "differing_axis"]

RESAMPLES = 400
SAMPLE_MIN = 8
_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "p50": lambda values: percentile(values, 50),
    "p95": lambda values: percentile(values, 95),
    "mean": lambda values: sum(values) / len(values),
}


def differing_axis(a: Cell, b: Cell) -> str:
    """Return the one axis in which two cells differ, '' for none or several."""
    names = [name for name in a.axes if a.axes[name] != b.axes.get(name)]
    return names[0] if len(names) == 1 and a.axes.keys() == b.axes.keys() else ""


def compare_samples(
    measure: str,
    statistic: str,
    a: tuple[Cell, Sequence[Sequence[float]]],
    b: tuple[Cell, Sequence[Sequence[float]]],
    unit: str,
    rng: Random,
    clock: str = Clock.REAL,
) -> Effect | None:
    """Return the ratio of a statistic, b's to a's; None for too small samples.

    Each side is a cell with its samples, one a round; rounds were run in turns. The interval is a bootstrap within
    each round, so that a slow minute of the machine, which hits both sides of a round, does not widen it alone.
    """
    (cell_a, rounds_a), (cell_b, rounds_b) = a, b
    all_a, all_b = _flat(rounds_a), _flat(rounds_b)
    axis = differing_axis(cell_a, cell_b)
    if not axis or min(len(all_a), len(all_b)) < SAMPLE_MIN:
        return None
    of = _STATISTICS[statistic]
    base, other = of(all_a), of(all_b)
    if base <= 0:
        return None
    below, above = _again(rounds_a, statistic, rng), _again(rounds_b, statistic, rng)
    drawn = [float(high / low) for low, high in zip(below, above, strict=True) if low > 0]
    if not drawn:
        return None
    low, high = percentile(drawn, 2.5), percentile(drawn, 97.5)
    ratio = other / base
    text = (
        f"{measure} {statistic}: {axis} {cell_b.axes[axis]} {number(other)} {unit} beside {cell_a.axes[axis]} "
        f"{number(base)} {unit}, ratio {number(ratio)} (95 % {number(low)} to {number(high)}; "
        f"n {len(all_b)} and {len(all_a)}, {clock})"
    )
    method = f"bootstrap within {len(rounds_a)} rounds, {RESAMPLES} resamples"
    return Effect(
        measure, statistic, cell_a, cell_b, axis, "ratio", ratio, low, high, len(all_a), len(all_b), clock, method, text
    )


def compare_over_time(
    measure: str, statistic: str, a: tuple[Cell, Distribution], b: tuple[Cell, Distribution]
) -> Effect | None:
    """Return the difference of a quantile over time, b's minus a's.

    The interval is put together from the two quantiles' own (MOVER: G. Zou, A. Donner, Statistics in Medicine 27,
    2008), and open on both sides where one of them has none.
    """
    (cell_a, over_a), (cell_b, over_b) = a, b
    axis = differing_axis(cell_a, cell_b)
    if not axis:
        return None
    first: Quantile = getattr(over_a, statistic)
    second: Quantile = getattr(over_b, statistic)
    value = second.value - first.value
    low = high = None
    interval = "no interval: too few cycles"
    if None not in (first.low, first.high, second.low, second.high):
        low = value - _apart(second.value, second.low, first.high, first.value)
        high = value + _apart(second.high, second.value, first.value, first.low)
        interval = f"95 % {number(low, sign=True)} to {number(high, sign=True)}"
    text = (
        f"{measure} {statistic}: {axis} {cell_b.axes[axis]} {number(second.value)} {over_b.unit} beside "
        f"{cell_a.axes[axis]} {number(first.value)} {over_a.unit}, difference {number(value, sign=True)} ({interval}; "
        f"n {over_b.n} and {over_a.n}, {over_a.clock})"
    )
    method = "MOVER on bootstrap intervals over cycles"
    return Effect(
        measure, statistic, cell_a, cell_b, axis, "difference", value, low, high,
        over_a.n, over_b.n, over_a.clock, method, text,
    )  # fmt: skip


def _apart(high: float | None, low: float | None, above: float | None, below: float | None) -> float:
    return hypot((high or 0.0) - (low or 0.0), (above or 0.0) - (below or 0.0))


def compare_counts(
    measure: str, a: tuple[Cell, int, int], b: tuple[Cell, int, int], clock: str = Clock.COMPUTED
) -> Effect | None:
    """Return the difference of two shares, b's minus a's, each (cell, of which, in all); None without a trial.

    The interval is Newcombe's; see `crashlab.decide.effects`.
    """
    (cell_a, hits_a, n_a), (cell_b, hits_b, n_b) = a, b
    axis = differing_axis(cell_a, cell_b)
    if not axis or not n_a or not n_b:
        return None
    value, low, high = difference_of_shares((hits_a, n_a), (hits_b, n_b))
    text = (
        f"{measure}: {axis} {cell_b.axes[axis]} {hits_b}/{n_b} beside {cell_a.axes[axis]} {hits_a}/{n_a}, "
        f"difference {100 * value:+.2g} points (95 % {100 * low:+.2g} to {100 * high:+.2g}; {clock})"
    )
    method = "Newcombe, Wilson"
    return Effect(measure, "share", cell_a, cell_b, axis, "difference", value, low, high, n_a, n_b, clock, method, text)


def _flat(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [value for values in rounds for value in values]


def _again(rounds: Sequence[Sequence[float]], statistic: str, rng: Random) -> NDArray[np.float64]:
    """The statistic of `RESAMPLES` samples drawn anew, each round from its own values."""
    draws = np.random.default_rng(rng.getrandbits(64))
    drawn = [
        np.asarray(values)[draws.integers(0, len(values), (RESAMPLES, len(values)))] for values in rounds if len(values)
    ]
    samples = np.concatenate(drawn, axis=1)
    if statistic == "mean":
        return np.asarray(samples.mean(axis=1), dtype=np.float64)
    return np.asarray(np.percentile(samples, float(statistic[1:]), axis=1), dtype=np.float64)
