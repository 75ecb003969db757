"""Distributions side by side: median, 95th and 99th percentile and maximum as one bar each, on one logarithmic axis."""

from collections.abc import Sequence
from math import ceil, floor, log10

from crashlab.report.numbers import quantity
from crashlab.report.summary.facts import Distribution
from crashlab.report.svg.canvas import CHAR, Canvas, shorter

__all__ = ["distribution_bars"]

WIDTH, ROW, TOP = 920.0, 34.0, 26.0
LABEL = 300.0
BARS_MAX = 24


def distribution_bars(title: str, named: Sequence[tuple[str, Distribution]]) -> str:
    """Draw a bar for each distribution: to the median thick, to p95 thinner, to p99 a line, a mark at the maximum."""
    rows = [(name, each) for name, each in named if each.n and each.max > 0][:BARS_MAX]
    if not rows:
        return ""
    least = min(each.p50.value or each.max for _, each in rows)
    low = floor(log10(max(least, 1e-9)) - 0.3)
    high = max(low + 1, ceil(log10(max(each.max for _, each in rows)) + 1e-9))
    right = 90.0
    height = TOP + ROW * len(rows) + 8
    canvas = Canvas(WIDTH, height, title)

    def at(value: float) -> float:
        share = 0.0 if value <= 0 else (log10(value) - low) / (high - low)
        return LABEL + min(1.0, max(0.0, share)) * (WIDTH - LABEL - right)

    for power in range(low, high + 1):
        x = at(10.0**power)
        canvas.line(x, TOP - 4, x, height - 8, "grid")
        canvas.text(x, TOP - 10, quantity(10.0**power, rows[0][1].unit), "soft", "middle")
    for number, (name, each) in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        canvas.text(0, y + 4, shorter(name, LABEL - 12))
        start = at(10.0**low)
        canvas.rect(start, y - 7, at(each.p50.value) - start, 14, "bar")
        canvas.rect(at(each.p50.value), y - 4, at(each.p95.value) - at(each.p50.value), 8, "bar mid")
        canvas.line(at(each.p95.value), y, at(each.max), y, "whisker")
        canvas.line(at(each.p99.value), y - 4, at(each.p99.value), y + 4, "whisker")
        canvas.mark(at(each.max), y, "whisker", "ring")
        shown = quantity(each.max, each.unit)
        x = at(each.max) + 9
        fits = x + len(shown) * CHAR < WIDTH
        canvas.text(x if fits else WIDTH, y + 4 if fits else y - 9, shown, "soft", "start" if fits else "end")
    return canvas.svg()
