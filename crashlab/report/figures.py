"""A drawing with what belongs to it: its legend, and the table that says the same."""

import msgspec

from crashlab.report.tables import Table

__all__ = ["BAR_LEGEND", "Figure"]

BAR_LEGEND = (
    ("bar", "bar", "to the median"),
    ("bar mid", "bar", "to p95"),
    ("whisker", "line", "to the maximum, p99 across"),
)


class Figure(msgspec.Struct, frozen=True):
    """A drawing with its legend and the table that says the same. `legend`: (class, shape, words)."""

    title: str
    svg: str
    legend: tuple[tuple[str, str, str], ...] = ()
    table: Table | None = None
    note: str = ""
