"""Which cells of a study are compared, and in what: each with the one that has the base's value of a single axis."""

from collections.abc import Iterator, Mapping, Sequence

from crashlab.decide.study.axes import CADENCE, MODE, Axes, Cell
from crashlab.decide.study.effects import compare_counts, compare_over_time, compare_samples, differing_axis
from crashlab.decide.study.latency import Round
from crashlab.decide.study.results import CellResult, Effect, LatencyResult
from crashlab.model.seed import rng_for

__all__ = ["all_effects"]


def all_effects(
    axes: Axes,
    cells: Sequence[CellResult],
    latencies: Sequence[LatencyResult],
    rounds: Mapping[str, Sequence[Round]],
    seed: int,
) -> Iterator[Effect]:
    """Yield the comparisons. `rounds`: the samples of each cell in real time, by the cell's text."""
    yield from _stepped(axes, cells)
    yield from _timed(axes, latencies, rounds, seed)


def _stepped(axes: Axes, cells: Sequence[CellResult]) -> Iterator[Effect]:
    """Each cell of the base's row (cadence and mode), and PASSIVE beside TRUNCATE wherever both are."""
    for a in cells:
        for b in cells:
            axis = differing_axis(a.cell, b.cell)
            if axis not in (CADENCE, MODE) or not _first(axes, axis, a.cell, b.cell):
                continue
            if axis == CADENCE and any(a.cell.axes[name] != base for name, base in axes.base.items()):
                continue
            if "unresolved" in (a.bounded, b.bounded):
                continue
            found = [
                compare_over_time("exposure in seconds", "p95", (a.cell, a.seconds), (b.cell, b.seconds)),
                compare_over_time("exposure in rows", "p95", (a.cell, a.rows), (b.cell, b.rows)),
            ]
            if axis == MODE:
                found.append(
                    compare_counts(
                        "main alone malformed inside a backfill",
                        (a.cell, a.alone_backfill.get("malformed", 0), sum(a.alone_backfill.values())),
                        (b.cell, b.alone_backfill.get("malformed", 0), sum(b.alone_backfill.values())),
                    )
                )
                found.append(
                    compare_counts(
                        "states of a process death that miss an acked row",
                        (a.cell, a.killed.lost, a.killed.states),
                        (b.cell, b.killed.lost, b.killed.states),
                    )
                )
            yield from (effect for effect in found if effect is not None)


def _timed(
    axes: Axes, latencies: Sequence[LatencyResult], rounds: Mapping[str, Sequence[Round]], seed: int
) -> Iterator[Effect]:
    for a in latencies:
        for b in latencies:
            axis = differing_axis(a.cell, b.cell)
            if not axis or not _first(axes, axis, a.cell, b.cell):
                continue
            of_a, of_b = rounds[str(a.cell)], rounds[str(b.cell)]
            rng = rng_for(seed, "effect", str(a.cell), str(b.cell))
            for measure, statistic, field in (
                ("checkpoint", "p50", "checkpoint_ms"),
                ("checkpoint", "p95", "checkpoint_ms"),
                ("writer stall", "p95", "stall_ms"),
            ):
                effect = compare_samples(
                    measure,
                    statistic,
                    (a.cell, [getattr(each, field) for each in of_a]),
                    (b.cell, [getattr(each, field) for each in of_b]),
                    "ms",
                    rng,
                )
                if effect is not None:
                    yield effect


def _first(axes: Axes, axis: str, a: Cell, b: Cell) -> bool:
    """Whether `a` is the one to compare with: it has the base's value, or where neither has, the first of both."""
    values = axes.values[axis]
    base = axes.base[axis]
    if base in (a.axes[axis], b.axes[axis]):
        return a.axes[axis] == base
    return values.index(a.axes[axis]) < values.index(b.axes[axis]) if axis == MODE else False
