"""Numbers that carry their uncertainty: bounds, intervals, percentiles. Standard library only.

k failures in n independent trials say something about the true rate only within bounds; "0 %" is never known.
"""

from collections.abc import Callable, Sequence
from math import ceil, exp, floor, lgamma, log, log1p, log10

__all__ = ["binomial_interval", "format_rate", "percentile", "upper_bound", "zero_failure_bound"]


def zero_failure_bound(trials: int, confidence: float = 0.95) -> float:
    """Return the upper bound of the failure rate after ``trials`` without a failure: ``1 - (1-c)**(1/n)``.

    With this rate, so clean a run would happen in 5 % of cases; "3/n" is its well-known approximation. No
    trials bound nothing: 1.0. Raises ValueError for a negative count or a confidence outside (0, 1).
    """
    _check(0, trials, confidence)
    return 1.0 - (1.0 - confidence) ** (1.0 / trials) if trials else 1.0


def upper_bound(failures: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of the rate (Clopper-Pearson); 1.0 when every trial failed.

    For 0 failures this is :func:`zero_failure_bound`. Raises ValueError for impossible counts.
    """
    _check(failures, trials, confidence)
    if failures == trials:
        return 1.0
    if not failures:
        return zero_failure_bound(trials, confidence)
    return _solve(lambda rate: _at_most(failures, trials, rate) - (1.0 - confidence))


def binomial_interval(failures: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of the rate (Clopper & Pearson, Biometrika 26, 1934).

    (0.0, 1.0) without trials. Raises ValueError for impossible counts.
    """
    _check(failures, trials, confidence)
    tail = (1.0 - confidence) / 2.0
    low = 0.0
    if failures:
        low = _solve(lambda rate: _at_most(failures - 1, trials, rate) - (1.0 - tail))
    return low, upper_bound(failures, trials, 1.0 - tail) if trials else 1.0


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which ``percent`` % of ``values`` lie, interpolated between neighbours.

    The same as numpy's default and DuckDB's ``quantile_cont``. Raises ValueError for no values or a
    percentage outside 0..100.
    """
    if not values:
        raise ValueError("no values, so no percentile")
    if not 0.0 <= percent <= 100.0:
        raise ValueError(f"percentage {percent} is outside 0..100")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100.0
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def format_rate(failures: int, trials: int, confidence: float = 0.95) -> str:
    """Return the rate as text that says how much it is worth; never a bare "0 %" or "100 %".

    ``format_rate(0, 3000)`` is ``"0/3000, 95 % upper bound 0.10 %"``, ``format_rate(3, 20)`` is
    ``"3/20 = 15 %, 95 % interval 3.2-38 %"``, and without trials ``"0/0, nothing is known"``.
    """
    _check(failures, trials, confidence)
    level = f"{100 * confidence:g} %"
    if not trials:
        return "0/0, nothing is known"
    if not failures:
        return f"0/{trials}, {level} upper bound {_percent(zero_failure_bound(trials, confidence), ceil)} %"
    low, high = binomial_interval(failures, trials, confidence)
    if failures == trials:
        # The mirror image of no failures: a lower bound, one-sided.
        low = 1.0 - zero_failure_bound(trials, confidence)
        return f"{failures}/{trials}, {level} lower bound {_percent(low, floor)} %"
    share = _percent(failures / trials)
    return f"{failures}/{trials} = {share} %, {level} interval {_percent(low, floor)}-{_percent(high, ceil)} %"


def format_bound(failures: int, trials: int, confidence: float = 0.95) -> str:
    """Return the short form for a column: ``"< 0.10 %"`` without failures, else the interval ``"3.2-38 %"``."""
    _check(failures, trials, confidence)
    if not trials:
        return ""
    if not failures:
        return f"< {_percent(zero_failure_bound(trials, confidence), ceil)} %"
    low, high = binomial_interval(failures, trials, confidence)
    return f"{_percent(low, floor)}-{_percent(high, ceil)} %"


def _check(failures: int, trials: int, confidence: float) -> None:
    if not 0 <= failures <= trials:
        raise ValueError(f"{failures} failures in {trials} trials: expected 0 <= failures <= trials")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is outside (0, 1)")


def _at_most(count: int, trials: int, rate: float) -> float:
    """Probability of at most ``count`` failures.

    Summed from its largest term outwards until the terms no longer matter, so that a million trials cost some
    thousand additions; the first term through logarithms, since n choose k leaves the floats' range.
    """
    if rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return float(count >= trials)
    top = min(count, int((trials + 1) * rate))
    choose = lgamma(trials + 1) - lgamma(top + 1) - lgamma(trials - top + 1)
    largest = exp(choose + top * log(rate) + (trials - top) * log1p(-rate))
    odds = rate / (1.0 - rate)
    total = term = largest
    for k in range(top, 0, -1):
        term *= k / ((trials - k + 1) * odds)
        total += term
        if term < total * 1e-17:
            break
    term = largest
    for k in range(top, count):
        term *= (trials - k) * odds / (k + 1)
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, total)


def _solve(falling: Callable[[float], float]) -> float:
    """The root in 0..1 of a function that falls with the rate, by halving to the last bit."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if falling(middle) > 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _percent(rate: float, rounding: Callable[[float], float] = round) -> str:
    """A rate in percent with two significant digits; ``floor`` or ``ceil`` keeps a bound a bound.

    A rate below 100 % never prints as 100, one above 0 never as 0.
    """
    shown = 100.0 * rate
    if shown <= 0.0 or shown >= 100.0:
        return "0" if shown <= 0.0 else "100"
    # Twice: 0.0998 rounds up to 0.100, which is 0.10 in two digits.
    digits = _digits(shown)
    scale = 10.0**digits
    shown = rounding(round(shown * scale, 6)) / scale
    return f"{shown:.{min(digits, _digits(shown))}f}"


def _digits(value: float) -> int:
    """Decimals that show two significant digits of the distance to 0 or 100, whichever is nearer."""
    return max(0, 1 - floor(log10(min(value, 100.0 - value)) + 1e-9))
