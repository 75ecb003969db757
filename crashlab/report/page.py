"""The report as one HTML page that needs nothing else: no network, no scripts, light and dark as the reader has it."""

from collections.abc import Iterator
from math import log10
from pathlib import Path
from typing import Any

from crashlab.decide.statistics import format_bound
from crashlab.report.autopsy_html import require_jinja2
from crashlab.report.figures import BAR_LEGEND, Figure
from crashlab.report.numbers import duration, figure
from crashlab.report.plain import printable
from crashlab.report.story_drawings import story_figures
from crashlab.report.study_drawings import study_parts
from crashlab.report.summary.facts import Counts, Exposures, Found, HeatMap, Summary
from crashlab.report.svg.bars import distribution_bars
from crashlab.report.svg.curves import LINES_MAX, exposure_curves
from crashlab.report.svg.reach import reach_bars
from crashlab.report.tables import (
    LATENCIES,
    Table,
    cells_table,
    coverage_table,
    environment_table,
    exposure_tables,
    gate_rows,
    latency_table,
    often,
    phases_table,
    totals,
    where_line,
)

__all__ = ["page_environment", "page_html"]

ROWS_MAX = 400
FINDINGS_MAX = 100
_TEMPLATES = Path(__file__).with_name("templates")


def page_html(summary: Summary) -> str:
    """Return the whole page. Everything that comes from outside is escaped, control characters are written out.

    Raises UsageError where jinja2 is not installed.
    """
    page: str = (
        page_environment()
        .get_template("report.html")
        .render(
            answer=summary.answer,
            totals=totals(summary.counts) if summary.gates and summary.counts.trials else "",
            counts=summary.counts,
            states=summary.states,
            seconds=duration(summary.seconds),
            where=where_line(summary),
            gates=[gate_rows(report).first(ROWS_MAX) for report in summary.gates],
            commands=[command for report in summary.gates for command in report.commands],
            findings=[_finding(found, summary) for found in summary.findings[:FINDINGS_MAX]],
            findings_over=max(0, len(summary.findings) - FINDINGS_MAX),
            heat=[_heat(heat) for heat in summary.heat if summary.cells],
            exposure=list(_exposure(summary)),
            times=_times(summary),
            phases=_phases(summary),
            reach=list(_reach(summary)),
            coverage=coverage_table(summary).first(ROWS_MAX),
            study=study_parts(summary.study),
            cells=cells_table(summary).first(ROWS_MAX),
            environment=environment_table(summary),
            errors=summary.errors,
        )
    )
    return page


def page_environment() -> Any:
    """Return the templates, escaping by default. Raises UsageError where jinja2 is not installed."""
    jinja2 = require_jinja2()
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    return printable(value) if type(value) is str else value


def _finding(found: Found, summary: Summary) -> dict[str, Any]:
    witness = next(iter(found.witnesses), None)
    story = next((each.story for each in found.witnesses if each.story is not None), None)
    params = {} if witness is None else witness.params
    return {
        "found": found,
        "often": often(found, summary),
        "witness": witness,
        "params": " ".join(f"{name}={value}" for name, value in params.items()),
        "figures": [] if story is None else list(story_figures(story, witness.fault if witness else "")),
    }


def _heat(heat: HeatMap) -> dict[str, Any]:
    rows = []
    for fault, counts, exposed in zip(heat.faults, heat.cells, heat.rows_p95, strict=True):
        rows.append((fault, [_heat_cell(each, rows_p95) for each, rows_p95 in zip(counts, exposed, strict=True)]))
    return {"param": heat.param, "columns": heat.values, "rows": rows}


def _heat_cell(counts: Counts, exposed: float) -> dict[str, Any]:
    """One cell: how red it is says the rate of failures, how green how much was tried without one."""
    if not counts.judged:
        return {
            "kind": "none",
            "heat": 0,
            "shown": f"{counts.trials} not judged" if counts.trials else "-",
            "bound": "",
            "more": "",
        }
    rate = counts.failures / counts.judged
    strength = 18 + round(32 * rate) if counts.failures else min(40, 6 + round(9 * log10(counts.judged)))
    said = f"{figure(exposed)} rows at risk" if exposed >= 0 else ""
    return {
        "kind": "bad" if counts.failures else "good",
        "heat": strength,
        "shown": f"{counts.failures:,}/{counts.judged:,}",
        "bound": format_bound(counts.failures, counts.judged),
        "more": said,
    }


def _exposure(summary: Summary) -> Iterator[Figure]:
    groups = [each for each in summary.exposures if not each.param]
    first = next((each.param for each in summary.exposures if each.param), "")
    named = [each for each in summary.exposures if each.param == first] if first else groups
    for metric, table in zip(("frames", "rows", "seconds"), exposure_tables(summary), strict=False):
        chosen = [(_group(each), getattr(each, metric)) for each in named]
        svg, names = exposure_curves(table.title, chosen)
        over = len(chosen) - LINES_MAX
        note = f"The first {LINES_MAX} of {len(chosen)} are drawn." if over > 0 else ""
        legend = tuple((f"c{number}", "line", name) for number, name in enumerate(names))
        yield Figure(table.title, svg, legend, table.first(ROWS_MAX), note)


def _group(each: Exposures) -> str:
    return f"{each.param}={each.value}" if each.param else f"{each.value} trials"


def _times(summary: Summary) -> Figure:
    named = [(LATENCIES[name], summary.latencies[name]) for name in LATENCIES if name in summary.latencies]
    table = latency_table(summary)
    return Figure(table.title, distribution_bars("times of a trial's parts", named), BAR_LEGEND, table)


def _phases(summary: Summary) -> dict[str, Any]:
    most = max(summary.phases.values(), default=1)
    bars = {phase: max(1, round(100 * hits / most)) for phase, hits in summary.phases.items()}
    return {"table": phases_table(summary), "bars": bars}


def _reach(summary: Summary) -> Iterator[Figure]:
    for covered in summary.covered:
        for reach in covered.reach:
            width, states = max(1, reach.width), reach.states[:ROWS_MAX]
            head = ("operations", "states", "writes to main", "to the WAL", "syncs", "other", "failing")
            keys = ("states", "writes_main", "writes_wal", "syncs", "others", "failing")
            rows = tuple(
                (
                    f"{number * width + 1:,} to {(number + 1) * width:,}",
                    *(f"{getattr(reach, key)[number]:,}" if number < len(getattr(reach, key)) else "" for key in keys),
                )
                for number in range(len(states))
            )
            title = f"{covered.row}: model {reach.policy}"
            legend = (
                ("bar", "bar", "crash states looked at"),
                ("c1", "bar", "writes to the main file"),
                ("c0", "bar", "writes to the WAL"),
                ("c2", "bar", "syncs"),
            )
            failing = (("bad", "cross", "a class with a finding begins here"),) if any(reach.failing) else ()
            yield Figure(title, reach_bars(reach), legend + failing, Table(title, head, rows, tuple(range(1, 7))))
