"""A canvas: shapes by class, text escaped, one coordinate system. Colours are the page's, by class, not the shapes'."""

import html
from collections.abc import Iterable
from math import ceil, floor, log10

from crashlab.report.plain import one_line

__all__ = ["CHAR", "Canvas", "nice_ticks", "shorter"]

CHAR = 6.3
"""Width of a character of the drawings' 11 px font, a little more than the mean."""


def shorter(text: str, width: float) -> str:
    """Text on one line that fits into so many pixels."""
    line, most = one_line(text), max(1, int(width / CHAR))
    return line if len(line) <= most else line[: most - 1] + "…"


def nice_ticks(most: float, wanted: int = 5) -> list[float]:
    """Return round numbers from 0 to at least `most`."""
    if most <= 0:
        return [0.0, 1.0]
    raw = most / wanted
    power = 10.0 ** floor(log10(raw))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= raw * 0.999)
    return [float(f"{step * number:.6g}") for number in range(ceil(most / step - 1e-9) + 1)]


class Canvas:
    """Collects shapes; `svg()` is the drawing. Coordinates in pixels of the drawing's own width."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self._width, self._height, self._title = width, height, title
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A filled rectangle."""
        box = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}"'
        self._parts.append(f'<rect {box} class="{kind}"/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def path(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        self._parts.append(f'<path d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}" class="{kind}"/>')

    def mark(self, x: float, y: float, kind: str, shape: str = "dot") -> None:
        """A small mark: dot, cross, ring or square, so that no colour is needed to tell them apart."""
        if shape == "cross":
            self._parts.append(
                f'<path d="M{x - 4:.1f} {y - 4:.1f} l8 8 M{x - 4:.1f} {y + 4:.1f} l8 -8" class="{kind} stroke"/>'
            )
        elif shape == "square":
            self.rect(x - 3.5, y - 3.5, 7, 7, kind)
        else:
            filled = " hollow" if shape == "ring" else ""
            self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}{filled}"/>')

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """A line of text; what other people wrote is escaped."""
        shown = html.escape(one_line(text))
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{shown}</text>')

    def svg(self) -> str:
        """The whole drawing; it scales to the room it is given, and has its title read out."""
        title = html.escape(one_line(self._title), quote=True)
        body = "".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width:.0f} {self._height:.0f}" role="img" '
            f'aria-label="{title}"><title>{title}</title>{body}</svg>'
        )
