"""What a study's figures advise: a pure function of its results.

The rule: of the cadences whose exposure is bounded, take the one with the least exposure (p95, seconds) among those
that cost less than `COST_MAX` of the time: a checkpoint's mean in real time, as often as the program asks for one. A
cadence below the time between two writes leaves no fewer rows than one write exposed, so of those only the longest
counts.
"""

from collections.abc import Iterator, Sequence

from crashlab.decide.statistics import format_rate
from crashlab.decide.study.axes import CADENCE, EVERY_PREFIX, MODE, OFF, RATE, READER, SYNCHRONOUS, Axes, Cell, driver
from crashlab.decide.study.distribution import Distribution
from crashlab.decide.study.effects import differing_axis
from crashlab.decide.study.results import CellResult, Effect, LatencyResult, Recommendation
from crashlab.decide.study.text import number

__all__ = ["recommend"]

COST_MAX = 0.01


def recommend(
    axes: Axes, cells: Sequence[CellResult], latencies: Sequence[LatencyResult], effects: Sequence[Effect]
) -> Recommendation:
    """Return the advice of a study with at least one cell."""
    row = [cell for cell in cells if _in_base_row(axes, cell.cell)]
    now = next((cell for cell in row if cell.cell.axes == axes.base), None)
    price = _price(axes, latencies)
    mean_ms = None if price is None else price.mean
    choice = _choose(row, mean_ms)
    reasons = tuple(_reasons(row, now, choice, price))
    limits = tuple(_limits(axes, cells, latencies, effects, now or choice))
    if choice is None:
        says = "No cadence studied here keeps the exposure bounded: nothing can be recommended."
    elif now is not None and now.cell == choice.cell:
        says = f"Keep {_named(choice.cell)}."
    else:
        says = f"Take {_named(choice.cell)}" + (f" instead of {_cadence(now.cell)}." if now else ".")
    return Recommendation(None if choice is None else choice.cell, says, reasons, limits)


def _in_base_row(axes: Axes, cell: Cell) -> bool:
    return all(cell.axes.get(name) == value for name, value in axes.base.items() if name != driver(axes.base))


def _choose(row: Sequence[CellResult], mean_ms: float | None) -> CellResult | None:
    bounded = [cell for cell in row if cell.bounded == "yes"]
    if not bounded:
        return None
    affordable = [cell for cell in bounded if mean_ms is None or _cost(cell, mean_ms) <= COST_MAX]
    if not affordable:
        return min(bounded, key=lambda cell: _cost(cell, mean_ms or 0.0))
    below_tick = [cell for cell in affordable if 0 < _seconds(cell) < cell.cell.tick_s]
    idle = [] if not below_tick else sorted(below_tick, key=_seconds)[:-1]
    return min((cell for cell in affordable if cell not in idle), key=lambda cell: cell.seconds.p95.value)


def _reasons(
    row: Sequence[CellResult], now: CellResult | None, choice: CellResult | None, price: Distribution | None
) -> Iterator[str]:
    for cell in (now, choice if choice is not now else None):
        if cell is not None:
            yield exposure_line(cell)
    if choice is not None and price is not None:
        yield (
            f"Its price: {number(price.mean)} ms a checkpoint (mean of {price.n} in real time, p95 "
            f"{number(price.p95.value)}), so {number(100 * _cost(choice, price.mean))} % of the time "
            f"at one every {_seconds_text(choice)}."
        )
    off = next((cell for cell in row if cell.cell.axes.get(CADENCE) == OFF), None)
    if off is not None and off is not choice and off is not now:
        yield exposure_line(off)


def exposure_line(cell: CellResult) -> str:
    """Say in one line what is exposed in a cell."""
    where = f"At a {cell.cell.tick_s:g} s tick and {_named(cell.cell)}"
    if cell.bounded == "no":
        return (
            f"{where}: exposure is unbounded, {number(cell.frames_per_hour)} frames an hour in the "
            f"{cell.seconds_seen:g} s seen; {number(cell.rows.max.value)} rows at the end."
        )
    if cell.bounded == "unresolved":
        return f"{where}: the run of {cell.seconds_seen:g} s was too short to tell."
    by = " (by SQLite's auto-checkpoint)" if cell.completed_in and "checkpoint" not in cell.completed_in else ""
    seconds, rows, frames = cell.seconds, cell.rows, cell.frames
    return (
        f"{where}{by}: p95 exposure {number(seconds.p95.value)} s{_interval(cell)}, {number(rows.p95.value)} rows, "
        f"{number(frames.p95.value)} frames; at most {number(seconds.max.value)} s, {number(rows.max.value)} rows "
        f"in {seconds.over}."
    )


def _interval(cell: CellResult) -> str:
    p95 = cell.seconds.p95
    return "" if p95.low is None or p95.high is None else f" (95 % {number(p95.low)} to {number(p95.high)})"


def _limits(
    axes: Axes,
    cells: Sequence[CellResult],
    latencies: Sequence[LatencyResult],
    effects: Sequence[Effect],
    base: CellResult | None,
) -> Iterator[str]:
    for cell in cells:
        if base is not None and differing_axis(base.cell, cell.cell) == READER:
            reader = cell.cell.axes[READER]
            if cell.bounded == "no":
                at_rest = sum(cell.alone_resting.values())
                broken = cell.alone_resting.get("malformed", 0)
                yield (
                    f"A reader that is {reader} makes it unbounded: {number(cell.rows.max.value)} rows and a -wal of "
                    f"{number(cell.wal_bytes_max / 2**20)} MiB after {cell.seconds_seen:g} s"
                    + (f"; the main file alone was malformed in {format_rate(broken, at_rest)}." if broken else ".")
                )
            elif cell.bounded == "yes":
                yield (
                    f"With a {reader} reader: p95 exposure {number(cell.seconds.p95.value)} s, "
                    f"{number(cell.rows.p95.value)} rows (n {cell.seconds.n})."
                )
        if base is not None and differing_axis(base.cell, cell.cell) == SYNCHRONOUS and cell.power_rows.max.value:
            power = cell.power_rows
            yield (
                f"At synchronous={cell.cell.axes[SYNCHRONOUS]} a power loss may take acked rows: p95 "
                f"{number(power.p95.value)}, at most {number(power.max.value)} (n {power.n})."
            )
    alone = [cell for cell in cells if sum(cell.alone_backfill.values())]
    malformed = sum(cell.alone_backfill.get("malformed", 0) for cell in alone)
    looked = sum(sum(cell.alone_backfill.values()) for cell in alone)
    if looked:
        yield (
            "The main file alone, at a crash point inside a backfill, is malformed in "
            f"{format_rate(malformed, looked)} (all cells; computed)."
        )
    for effect in effects:
        if effect.differs == MODE and effect.measure == "checkpoint" and effect.statistic == "p95":
            yield effect.text
            break
    if READER not in axes.base:
        yield "The subject declares no reader: a snapshot held open stops every checkpoint, whatever the cadence."
    if not latencies:
        yield "No latencies were measured: the price of a checkpoint is not weighed."
    killed, lost = sum(cell.killed.states for cell in cells), sum(cell.killed.lost for cell in cells)
    yield (
        "Exposure is what a lost or stale -wal costs. A process death that leaves main and -wal together took an acked "
        f"row in {format_rate(lost, killed)} (computed states, recovered by SQLite)."
    )


def _price(axes: Axes, latencies: Sequence[LatencyResult]) -> Distribution | None:
    """What a checkpoint costs in real time where the other axes have the base's values."""
    shared = {name: value for name, value in axes.base.items() if name not in (driver(axes.base), RATE)}
    for latency in latencies:
        if latency.checkpoint_ms is not None and all(latency.cell.axes.get(n) == v for n, v in shared.items()):
            return latency.checkpoint_ms
    return None


def _cost(cell: CellResult, mean_ms: float) -> float:
    """The share of the time that the program spends in checkpoints, of its own or of SQLite's."""
    rounds = max(cell.checkpoints, cell.completions)
    return rounds * mean_ms / 1000.0 / cell.seconds_seen if cell.seconds_seen else 0.0


def _seconds(cell: CellResult) -> float:
    cadence = cell.cell.axes.get(CADENCE, OFF)
    if cadence == OFF:
        return 0.0
    if cadence.startswith(EVERY_PREFIX):
        return int(cadence[len(EVERY_PREFIX) :]) * cell.cell.tick_s
    return float(cadence)


def _seconds_text(cell: CellResult) -> str:
    seconds = _seconds(cell)
    return f"{seconds:g} s" if seconds else f"{number(cell.seconds_seen / max(1, cell.completions))} s"


def _named(cell: Cell) -> str:
    """What drives the checkpoints, with its name."""
    axis = driver(cell.axes)
    return f"{axis} {_cadence(cell)}"


def _cadence(cell: Cell) -> str:
    value = cell.axes[driver(cell.axes)]
    return f"{value} s" if CADENCE in cell.axes and value != OFF and not value.startswith(EVERY_PREFIX) else value
