"""A cadence study in drawings: exposure curves and latencies, from its events alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from crashlab.report.figures import BAR_LEGEND, Figure
from crashlab.report.numbers import row_of
from crashlab.report.summary.facts import Distribution
from crashlab.report.svg.bars import BARS_MAX, distribution_bars
from crashlab.report.svg.curves import LINES_MAX, exposure_curves
from crashlab.report.tables import NOTE, PERCENTILES, Table

__all__ = ["study_parts", "study_tables"]

ROWS_MAX = 400
_EXPOSURES = {
    "frames": "Frames only in the WAL, over the time of the fault",
    "rows": "Acked rows only in the WAL, over the time of the fault",
    "seconds": "Age of the oldest such row, over the time of the fault",
    "power_rows": "Acked rows that no sync had covered: what a power loss may take",
    "rows_lost": "Acked rows that the main file alone has not",
    "recovery_ms": "First read after opening, with the WAL as the fault left it",
}
_TIMES = {"checkpoint_ms": "Checkpoints", "stall_ms": "Steps, from begin to ack", "commit_ms": "Commits"}


def study_parts(events: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the page shows of a study, or None where there is none."""
    if not events:
        return None
    cells = [event for event in events if event["kind"] == "study.cell"]
    timed = [event for event in events if event["kind"] == "study.latency"]
    return {
        "recommendation": next((e for e in reversed(events) if e["kind"] == "study.recommendation"), None),
        "effects": _effects([event for event in events if event["kind"] == "study.effect"]),
        "exposure": list(_curves(cells)),
        "times": list(_bars(timed)),
        "common": _common(events),
        "remarks": sorted({str(line) for event in events for line in event.get("remarks") or ()}),
    }


def study_tables(events: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Yield the tables of a study alone, for formats without drawings."""
    parts = study_parts(events)
    if parts is not None:
        yield parts["effects"]
        for each in (*parts["exposure"], *parts["times"]):
            yield each.table


def _curves(cells: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    for key, title in _EXPOSURES.items():
        named = list(_distributions(cells, key))
        if not named:
            continue
        # The drawing takes cells that differ in little: those with the most common axes beside the cadence.
        drawn = _alike(cells, [number for number, _, _ in named])
        svg, names = exposure_curves(title, [(name, each) for number, name, each in named if number in drawn])
        legend = tuple((f"c{number}", "line", name) for number, name in enumerate(names))
        over = f"Drawn: {len(names)} of {len(named)} cells; the table has all." if len(named) > len(names) else ""
        yield Figure(title, svg, legend, _table(title, named), over)


def _bars(timed: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    for key, title in _TIMES.items():
        named = list(_distributions(timed, key))
        if named:
            svg = distribution_bars(title, [(name, each) for _, name, each in named])
            over = f"Drawn: {BARS_MAX} of {len(named)} cells; the table has all." if len(named) > BARS_MAX else ""
            yield Figure(title, svg, BAR_LEGEND, _table(title, named), over)


def _distributions(events: Sequence[Mapping[str, Any]], key: str) -> Iterator[tuple[int, str, Distribution]]:
    varied = _varied(events)
    for number, event in enumerate(events):
        raw = event.get(key)
        if isinstance(raw, Mapping) and raw.get("n"):
            clock = raw.get("clock", event.get("clock", ""))
            found = _distribution(raw)
            if found is not None:
                yield number, f"{_name(event, varied)} [{clock}]", found


def _distribution(raw: Mapping[str, Any]) -> Distribution | None:
    """A study's distribution as a campaign's: its mean and maximum without their intervals; None for no such thing."""
    told = {name: value for name, value in raw.items() if value is not None}
    for name in ("mean", "max"):
        if isinstance(told.get(name), Mapping):
            told[name] = told[name].get("value") or 0.0
    for name in ("p50", "p95", "p99"):
        if isinstance(told.get(name), Mapping) and told[name].get("value") is None:
            del told[name]
    try:
        return msgspec.convert(told, Distribution)
    except msgspec.ValidationError:
        return None


def _axes(event: Mapping[str, Any]) -> dict[str, str]:
    cell = event.get("cell")
    axes = cell.get("axes") if isinstance(cell, Mapping) else None
    return {str(name): str(value) for name, value in axes.items()} if isinstance(axes, Mapping) else {}


def _varied(events: Sequence[Mapping[str, Any]]) -> set[str]:
    """Axes with more than one value: the others need no telling cell by cell."""
    values: dict[str, set[str]] = {}
    for event in events:
        for name, value in _axes(event).items():
            values.setdefault(name, set()).add(value)
    return {name for name, each in values.items() if len(each) > 1}


def _common(events: Sequence[Mapping[str, Any]]) -> str:
    """What all cells have, in one line."""
    cells = [axes for event in events if (axes := _axes(event))]
    varied = _varied(events)
    return " ".join(f"{name}={value}" for name, value in (cells[0] if cells else {}).items() if name not in varied)


def _name(event: Mapping[str, Any], varied: set[str]) -> str:
    axes = _axes(event)
    return " ".join(f"{name}={value}" for name, value in axes.items() if name in varied) or "the one cell"


def _alike(cells: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> set[int]:
    """The cells that differ in their first axis alone, in the group that has the most of them."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number in numbers:
        groups.setdefault(tuple(list(_axes(cells[number]).values())[1:]), []).append(number)
    best = max(groups.values(), key=len, default=[])
    return set(best[:LINES_MAX])


def _table(title: str, named: Sequence[tuple[int, str, Distribution]]) -> Table:
    rows = tuple((name, *row_of(each)) for _, name, each in named)
    return Table(title, ("cell", *PERCENTILES), rows, (1, 2, 3, 4, 5, 6), NOTE).first(ROWS_MAX)


def _effects(events: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(tuple(str(event.get(name, "")) for name in ("clock", "method", "text")) for event in events)
    return Table("Effects", ("clock", "how", "effect, with its 95 % interval"), rows).first(ROWS_MAX)
