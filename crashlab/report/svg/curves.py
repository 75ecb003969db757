"""Exposure curves: at what share of the faults was at least so much at risk."""

from collections.abc import Sequence
from math import floor, log10

from crashlab.report.numbers import quantity
from crashlab.report.summary.facts import Distribution
from crashlab.report.svg.canvas import CHAR, Canvas, nice_ticks, shorter

__all__ = ["LINES_MAX", "exposure_curves"]

LINES_MAX = 8
WIDTH, HEIGHT = 380.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 14.0, 44.0
_LOG_FROM = 100.0
"""A range wider than this is drawn on a logarithmic axis."""


def exposure_curves(title: str, named: Sequence[tuple[str, Distribution]]) -> tuple[str, tuple[str, ...]]:
    """Draw curves of one unit; return the drawing and the names of its lines, for the legend.

    y: share of the faults at which at least x was only in the WAL.
    """
    lines = [(name, each) for name, each in named if each.n][:LINES_MAX]
    if not lines:
        return "", ()
    unit = lines[0][1].unit
    most = max(each.max for _, each in lines)
    least = min((value for _, each in lines for _, value in each.curve if value > 0), default=0.0)
    axis = _Axis(least, most)
    canvas = Canvas(WIDTH, HEIGHT, title)
    bottom = HEIGHT - BOTTOM
    for percent in (0, 25, 50, 75, 100):
        y = bottom - percent / 100 * (bottom - TOP)
        canvas.line(LEFT, y, WIDTH - RIGHT, y, "grid")
        canvas.text(LEFT - 6, y + 4, f"{percent} %", "soft", "end")
    end = -100.0
    for tick in axis.ticks:
        x = LEFT + axis.at(tick) * (WIDTH - LEFT - RIGHT)
        shown = quantity(tick, unit)
        canvas.line(x, bottom, x, bottom + 4, "axis")
        half = len(shown) * CHAR / 2
        centre = min(x, WIDTH - half - 1)
        if centre - half > end + 6:
            canvas.text(centre, bottom + 17, shown, "soft", "middle")
            end = centre + half
    scale = ", logarithmic" if axis.log else ""
    canvas.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, f"{_name(unit)}, at least{scale}", "soft", "middle")
    canvas.line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis")
    for number, (_, each) in enumerate(lines):
        canvas.path(_steps(each, axis, bottom), f"line c{number}")
    return canvas.svg(), tuple(shorter(name, 300) for name, _ in lines)


class _Axis:
    def __init__(self, least: float, most: float) -> None:
        self.log = least > 0 and most / least > _LOG_FROM
        if self.log:
            low, high = floor(log10(least)), floor(log10(most)) + 1
            self._low, self._span = float(low), float(high - low)
            step = max(1, -(-(high - low) // 6))
            self.ticks = [10.0**power for power in range(low, high + 1, step)]
        else:
            self.ticks = nice_ticks(most)
            self._low, self._span = 0.0, self.ticks[-1]

    def at(self, value: float) -> float:
        """Where a value lies, from 0 to 1; on a logarithmic axis nothing lies at its left end."""
        if self.log:
            return 0.0 if value <= 0 else max(0.0, (log10(value) - self._low) / self._span)
        return value / self._span


def _steps(each: Distribution, axis: _Axis, bottom: float) -> list[tuple[float, float]]:
    """From (share no larger than value) to a line that falls: share that is at least value."""
    points: list[tuple[float, float]] = [(LEFT, TOP)]
    for percent, value in each.curve:
        x = LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT)
        y = bottom - (1 - percent / 100) * (bottom - TOP)
        points += [(x, points[-1][1]), (x, y)]
    return points


def _name(unit: str) -> str:
    return {"s": "age of the oldest", "rows": "acked rows", "frames": "committed frames"}.get(unit, unit)
