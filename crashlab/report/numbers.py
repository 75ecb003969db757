"""Numbers as people read them: three digits, units, and the interval beside the figure."""

from crashlab.report.summary.facts import Distribution, Quantile

__all__ = ["duration", "figure", "percentile_text", "quantity", "whole"]


def figure(value: float) -> str:
    """Three significant digits, whole numbers whole: 0.00239, 12, 1,250, 0.5."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    if "e" in text:
        text = f"{value:.2e}" if abs(value) < 1e-9 else f"{value:.9f}".rstrip("0")
    return text


def quantity(value: float, unit: str) -> str:
    """A figure in its unit; times in the unit that is easiest to read."""
    if unit == "s":
        return duration(value)
    if unit == "ms":
        return duration(value / 1000.0)
    return figure(value)


def duration(seconds: float) -> str:
    """A time: 0, 350 µs, 2.39 ms, 58 s, 4 min 10 s, 3 h 20 min."""
    if seconds < 0.9995e-3:
        return f"{figure(round(seconds * 1e6, 1))} µs" if seconds else "0"
    if seconds < 0.9995:
        return f"{figure(float(f'{seconds * 1e3:.3g}'))} ms"
    if seconds < 120:
        return f"{figure(float(f'{seconds:.3g}'))} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    return f"{minutes // 60:,} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def percentile_text(quantile: Quantile, unit: str) -> str:
    """A percentile with its 95 % interval; an end that too few values leave open is said."""
    low, high = quantile.low, quantile.high
    shown = quantity(quantile.value, unit)
    if low is None and high is None:
        return f"{shown} (too few)"
    if high is None:
        return f"{shown} (≥ {quantity(low or 0.0, unit)})"
    if low is None:
        return f"{shown} (≤ {quantity(high, unit)})"
    return f"{shown} ({quantity(low, unit)} to {quantity(high, unit)})"


def row_of(distribution: Distribution) -> tuple[str, ...]:
    """N, mean, p50, p95, p99 with intervals, and the maximum."""
    unit = distribution.unit
    percentiles = (distribution.p50, distribution.p95, distribution.p99)
    return (
        f"{distribution.n:,}",
        quantity(distribution.mean, unit),
        *(percentile_text(each, unit) for each in percentiles),
        quantity(distribution.max, unit),
    )


def whole(value: object) -> int:
    """A count that somebody else wrote: 0 for what is none."""
    return value if isinstance(value, int) and value > 0 else 0
