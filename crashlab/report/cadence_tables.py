"""A cadence study as tables and lines: what text, Markdown and a page say alike."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crashlab.decide.statistics import format_rate
from crashlab.decide.study.axes import (
    AUTOCHECKPOINT,
    CADENCE,
    MODE,
    RATE,
    READER,
    SIZE,
    SYNCHRONOUS,
    Cell,
    driver,
    how_often,
)
from crashlab.decide.study.distribution import Clock, Distribution, Quantile
from crashlab.decide.study.results import CellResult, StudyResult
from crashlab.decide.study.text import number

__all__ = ["Table", "answer_lines", "comparison_lines", "head_lines", "study_tables"]

UNBOUNDED, UNRESOLVED = "unbounded", "too short"
ROWS_MAX = 60
EACH_SHOWN = 6
_CROSSED = (AUTOCHECKPOINT, READER, RATE, SYNCHRONOUS, SIZE)
_STEPPED = "stepped clock: seconds only mean waiting, and the same seed gives the same figures"
_REAL = "real time, on the disk named above"


class Table(NamedTuple):
    """A title, a line under it, column heads, and rows; the first column is a name, the others figures."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def head_lines(study: StudyResult) -> list[str]:
    """What was studied, and where."""
    stamp, disk = study.environment, study.disk
    base = " ".join(f"{name}={value}" for name, value in study.base.items())
    return [
        f"Cadence study of {study.subject}: {len(study.cells)} cells stepped, {len(study.latencies)} in real time, "
        f"seed {study.seed}, {study.seconds:g} s"
        + ("" if study.stop == "completed" else f", stopped early ({study.stop})"),
        f"{stamp.get('os', '')} · {stamp.get('cores', '')} cores · {stamp.get('python', '')} · SQLite "
        f"{stamp.get('sqlite', '')} · real time on {disk.get('file_system', '')}",
        f"Base: {base}",
    ]


def study_tables(study: StudyResult) -> Iterator[Table]:
    """Yield the tables of a study, the base's cadences first."""
    base = _row(study, {})
    if base:
        yield _exposure(base, driver(study.base))
        yield _alone(base, driver(study.base))
    for axis in _CROSSED:
        table = _crossed(study, axis)
        if table is not None:
            yield table
    rest = _rest(study, base)
    if rest:
        yield _plain(study, rest)
    if study.latencies:
        yield _latency(study)


def answer_lines(study: StudyResult) -> list[tuple[str, list[str]]]:
    """The recommendation as (heading, lines)."""
    advice = study.recommendation
    if advice is None:
        return [("No answer", ["It ended before its recommendation." if study.cells else "Nothing was measured."])]
    return [(advice.says, list(advice.reasons)), ("Limits", list(advice.limits))]


def comparison_lines(study: StudyResult) -> list[str]:
    """The comparisons that people look for first: the modes in real time and over time, then all else in real time."""
    modes = [effect for effect in study.effects if effect.differs == MODE]
    groups = (
        [effect for effect in modes if effect.clock == Clock.REAL],
        [effect for effect in modes if effect.clock != Clock.REAL],
        [effect for effect in study.effects if effect.differs != MODE and effect.clock == Clock.REAL],
    )
    chosen = [effect for group in groups for effect in sorted(group, key=lambda e: _off_base(study, e.a))[:EACH_SHOWN]]
    lines = [f"{effect.text[:1].upper()}{effect.text[1:]}{_elsewhere(study, effect.a)}" for effect in chosen]
    if len(study.effects) > len(chosen):
        lines.append(f"… and {len(study.effects) - len(chosen)} more in the records (study.effect).")
    return lines


def _row(study: StudyResult, fixed: dict[str, str]) -> list[CellResult]:
    """The cells that differ from the base in the cadence, and in what is fixed."""
    wanted = {name: value for name, value in {**study.base, **fixed}.items() if name != driver(study.base)}
    found = [cell for cell in study.cells if all(cell.cell.axes.get(n) == v for n, v in wanted.items())]
    return sorted(found, key=lambda cell: how_often(cell.cell.axes[driver(study.base)]))


def _exposure(cells: Sequence[CellResult], axis: str) -> Table:
    head = (axis, "p50 s", "p95 s (95 %)", "max s", "p95 rows (95 %)", "max", "p95 frames", "-wal MiB", "over")
    rows = []
    for cell in cells:
        name = cell.cell.axes[axis]
        open_ended = {"no": UNBOUNDED, "unresolved": UNRESOLVED}.get(cell.bounded, "")
        rows.append(
            (
                name,
                open_ended or number(cell.seconds.p50.value),
                "" if open_ended else _with_interval(cell.seconds.p95),
                number(cell.seconds.max.value),
                "" if open_ended else _with_interval(cell.rows.p95),
                number(cell.rows.max.value),
                number(cell.frames.p95.value),
                f"{cell.wal_bytes_max / 2**20:.2f}",
                cell.seconds.over.replace(" moments of rest", ""),
            )
        )
    note = f"Age and acked rows only in the WAL, over the time of the fault ({_STEPPED})"
    return Table(f"Exposure by {axis}", note, head, tuple(rows))


def _alone(cells: Sequence[CellResult], axis: str) -> Table:
    head = (
        axis,
        "rows lost, p95 (n)",
        "malformed at rest",
        "in a backfill",
        "points in one",
        "kills that lost",
        "recovery ms",
    )
    rows = tuple(
        (
            cell.cell.axes[axis],
            "" if cell.rows_lost is None else f"{number(cell.rows_lost.p95.value)} ({cell.rows_lost.n})",
            _share(cell.alone_resting),
            _share(cell.alone_backfill),
            f"{cell.backfill_points}/{cell.crash_points}",
            f"{cell.killed.lost}/{cell.killed.states}",
            ""
            if cell.recovery_ms is None
            else f"{number(cell.recovery_ms.p50.value)} to "
            f"{number(cell.recovery_ms.max.value)} (n {cell.recovery_ms.n})",
        )
        for cell in cells
    )
    killed = sum(cell.killed.states for cell in cells)
    lost = sum(cell.killed.lost for cell in cells)
    note = (
        "The main file without its -wal, and recovery with it, by sample through real SQLite. Kills that lost an "
        f"acked row: {format_rate(lost, killed)}. Recovery in real time: p50/max (n)"
    )
    return Table("If only the main file is left, and if both are", note, head, rows)


def _crossed(study: StudyResult, axis: str) -> Table | None:
    values = [value for value in study.axes.get(axis, ()) if _row(study, {axis: value})]
    by = driver(study.base)
    if len(values) < 2 or axis not in study.base or axis == by:
        return None
    columns = {value: {c.cell.axes[by]: c for c in _row(study, {axis: value})} for value in values}
    cadences = [c for c in study.axes.get(by, ()) if sum(c in column for column in columns.values()) > 1]
    if not cadences:
        return None
    power = axis == SYNCHRONOUS
    rows = tuple((name, *(_brief(columns[value].get(name), power=power) for value in values)) for name in cadences)
    what = "acked rows that a power loss may take, p95 and most" if power else "p95 seconds, p95 rows, highest -wal"
    return Table(f"{by.capitalize()} by {axis}", f"{what} (stepped)", (by, *(f"{axis} {v}" for v in values)), rows)


def _brief(cell: CellResult | None, *, power: bool) -> str:
    if cell is None:
        return ""
    if power:
        return f"{number(cell.power_rows.p95.value)}, {number(cell.power_rows.max.value)}"
    if cell.bounded == "unresolved":
        return f"{UNRESOLVED} ({cell.seconds_seen:g} s)"
    wal = f"{cell.wal_bytes_max / 2**20:.2g} MiB"
    if cell.bounded == "no":
        broken = cell.alone_resting.get("malformed", 0)
        alone = f", main alone malformed {broken}/{sum(cell.alone_resting.values())}" if broken else ""
        return f"{UNBOUNDED}: {number(cell.rows.max.value)} rows, {wal} in {cell.seconds_seen:g} s{alone}"
    return f"{number(cell.seconds.p95.value)} s, {number(cell.rows.p95.value)}, {wal}"


def _rest(study: StudyResult, base: Sequence[CellResult]) -> list[CellResult]:
    """Cells that no table above has."""
    shown = {str(cell.cell) for cell in base}
    for axis in _CROSSED:
        for value in study.axes.get(axis, ()):
            shown |= {str(cell.cell) for cell in _row(study, {axis: value})}
    return [cell for cell in study.cells if str(cell.cell) not in shown]


def _plain(study: StudyResult, cells: Sequence[CellResult]) -> Table:
    rows = [(_against(study, cell.cell), _brief(cell, power=False), cell.seconds.over) for cell in cells[:ROWS_MAX]]
    note = "p95 seconds, p95 rows, highest -wal (stepped)"
    if len(cells) > ROWS_MAX:
        note += f"; {len(cells) - ROWS_MAX} more in the records"
    return Table("Other cells", note, ("cell", "exposure", "over"), tuple(rows))


def _against(study: StudyResult, cell: Cell) -> str:
    """A cell by its cadence, and by what it has other than the base."""
    others = (
        f"{name}={value}"
        for name, value in cell.axes.items()
        if name not in (CADENCE, RATE) and study.base.get(name) != value
    )
    return " ".join((cell.axes.get(CADENCE, ""), *others))


def _latency(study: StudyResult) -> Table:
    latencies = study.latencies
    rows = tuple(
        (
            _against(study, latency.cell),
            *_percentiles(latency.checkpoint_ms),
            *_percentiles(latency.stall_ms),
            f"{latency.wal_bytes_max / 2**20:.2f}",
            f"{100 * latency.in_checkpoint:.2g} %",
        )
        for latency in latencies
    )
    head = (
        "cadence",
        "checkpoint ms",
        "n",
        "writer stall ms",
        "n",
        "-wal MiB",
        "in checkpoints",
    )
    rate = latencies[0].cell.axes.get(RATE, "")
    note = (
        f"p50/p95/p99/max in {_REAL}, {rate} writes a second, {latencies[0].rounds} rounds in turns; "
        "intervals are in the records"
    )
    return Table("Checkpoint latency and writer stall", note, head, rows)


def _percentiles(found: Distribution | None) -> tuple[str, str]:
    if found is None:
        return "none", "0"
    values = (found.p50.value, found.p95.value, found.p99.value, found.max.value)
    return "/".join(number(value) for value in values), str(found.n)


def _share(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return f"{counts.get('malformed', 0)}/{total}" if total else "none"


def _with_interval(found: Quantile) -> str:
    if found.low is None or found.high is None:
        return f"{number(found.value)} (no interval)"
    return f"{number(found.value)} ({number(found.low)}-{number(found.high)})"


def _off_base(study: StudyResult, cell: Cell) -> int:
    return sum(study.base.get(name) != value for name, value in cell.axes.items() if name not in (CADENCE, RATE))


def _elsewhere(study: StudyResult, cell: Cell) -> str:
    """In which axes a comparison was not made at the base, as a suffix."""
    other = [
        f"{name} {value}"
        for name, value in cell.axes.items()
        if name not in (RATE, CADENCE) and study.base.get(name) != value
    ]
    return f" [{', '.join(other)}]" if other else ""
