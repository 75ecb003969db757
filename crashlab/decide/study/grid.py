"""Which cells a study looks at: designs, each a few axes varied together around the base cell.

The full product of all axes has thousands of cells and says little more. The default takes each axis alone,
and together those pairs that change each other's effect:

- cadence and auto-checkpoint: either bounds what the other leaves
- cadence and reader: a snapshot held open stops both
- cadence and write rate: what counts is how many frames come between two checkpoints
- mode and reader: TRUNCATE waits for readers, PASSIVE gives up before them
- cadence and synchronous: a sync of the WAL comes with each checkpoint, or with each commit
- cadence and size: with more pages, fewer frames of a checkpoint share one
"""

import itertools
from collections.abc import Iterable, Mapping

import msgspec

from crashlab.decide.study.axes import (
    AUTOCHECKPOINT,
    CADENCE,
    EVERY_PREFIX,
    MODE,
    OFF,
    RATE,
    READER,
    SIZE,
    SYNCHRONOUS,
    Axes,
    Cell,
)
from crashlab.errors import UsageError

__all__ = ["Planned", "default_grid", "full_grid", "latency_grid"]

CELLS_MAX = 20_000
_PAIRS: tuple[tuple[str, ...], ...] = (
    (CADENCE, AUTOCHECKPOINT),
    (CADENCE, READER),
    (MODE, READER),
    (CADENCE, RATE),
    (CADENCE, SYNCHRONOUS),
    (CADENCE, SIZE),
)
_FEW_CADENCES = {SYNCHRONOUS, SIZE}
"""Axes that are crossed with the cadence's ends and base only."""

_LATENCY_PAIRS: tuple[tuple[str, ...], ...] = ((CADENCE,), (MODE, READER), (SYNCHRONOUS,), (SIZE, MODE))
LATENCY_CADENCE_S = 0.1
LATENCY_CADENCES_S_MAX = 0.5


class Planned(msgspec.Struct, frozen=True):
    """A cell, and the designs that asked for it."""

    cell: Cell
    designs: tuple[str, ...]


def default_grid(axes: Axes) -> list[Planned]:
    """Return the default cells: the base, each axis alone, and the pairs of the module's list."""
    designs: list[tuple[str, Mapping[str, tuple[str, ...]]]] = [("base", {})]
    paired: set[str] = set()
    for pair in _PAIRS:
        if all(len(axes.values.get(name, ())) > 1 for name in pair):
            values = {name: axes.values[name] for name in pair}
            if _FEW_CADENCES.intersection(pair):
                values[CADENCE] = _few(axes)
            designs.append((_title(pair), values))
            paired.update(pair)
    designs += [
        (name, {name: values}) for name, values in axes.values.items() if name not in paired and len(values) > 1
    ]
    return _plan(axes, designs)


def full_grid(axes: Axes, chosen: Mapping[str, tuple[str, ...]], *, all_axes: bool) -> list[Planned]:
    """Return the product of the values chosen, with the base's of every other axis, or all of those, too.

    Raises:
        UsageError: that is more than `CELLS_MAX` cells.
    """
    values = {**(axes.values if all_axes else {}), **chosen}
    product = 1
    for each in values.values():
        product *= len(each)
    if product > CELLS_MAX:
        raise UsageError(f"the grid has {product} cells, expected at most {CELLS_MAX}; choose fewer values")
    return _plan(axes, [(_title(name for name, each in values.items() if len(each) > 1) or "base", values)])


def latency_grid(axes: Axes, *, chosen: Mapping[str, tuple[str, ...]] | None) -> list[Planned]:
    """Return the cells in real time; `chosen`: values that the user asked for, None for the default.

    Real time cannot wait for a cadence of minutes: cadences above `LATENCY_CADENCES_S_MAX` are left to the
    stepped clock, and a checkpoint's price depends on the frames that it finds, which `every-N` and the rate set.
    """
    rate = {RATE: (f"{axes.settings.latency_rate:g}",)}
    quick = tuple(
        value for value in (chosen or axes.values).get(CADENCE, axes.values.get(CADENCE, ())) if _quick(value)
    )
    home = {CADENCE: (next((v for v in quick if v == f"{LATENCY_CADENCE_S:g}"), quick[-1]),)} if quick else {}
    if chosen is not None:
        values = {name: each for name, each in chosen.items() if name not in (CADENCE, RATE)}
        return _plan(
            axes, [("latency", {**home, **({CADENCE: quick} if CADENCE in chosen and quick else {}), **values, **rate})]
        )
    designs = []
    for pair in _LATENCY_PAIRS:
        if all(len(axes.values.get(name, ())) > 1 for name in pair):
            values = {name: (quick if name == CADENCE else axes.values[name]) for name in pair}
            designs.append((f"latency: {_title(pair)}", {**home, **values, **rate}))
    return _plan(axes, designs or [("latency", {**home, **rate})])


def _plan(axes: Axes, designs: Iterable[tuple[str, Mapping[str, tuple[str, ...]]]]) -> list[Planned]:
    cells: dict[str, tuple[Cell, list[str]]] = {}
    for title, values in designs:
        for combination in itertools.product(*values.values()):
            cell = axes.cell(**dict(zip(values, combination, strict=True)))
            names = cells.setdefault(str(cell), (cell, []))[1]
            if title not in names:
                names.append(title)
    return [Planned(cell, tuple(names)) for cell, names in cells.values()]


def _title(names: Iterable[str]) -> str:
    return " by ".join(names)


def _few(axes: Axes) -> tuple[str, ...]:
    """Off, one of about a tick, and the base: enough to see whether another axis changes the cadence's effect."""
    values = axes.values[CADENCE]
    wanted = [OFF, "1", axes.base[CADENCE], *(value for value in values if value.startswith(EVERY_PREFIX))]
    return tuple(value for value in values if value in wanted) or values


def _quick(value: str) -> bool:
    return value.startswith(EVERY_PREFIX) or (value != OFF and float(value) <= LATENCY_CADENCES_S_MAX)
