"""The tables of a report, made once for all formats: text, Markdown and HTML only lay them out."""

from collections.abc import Iterator
from typing import Any

import msgspec

from crashlab.decide.evidence import CONTROLS, GateReport
from crashlab.decide.statistics import format_bound, format_rate
from crashlab.decide.trace_rows import GROUP as TRACE
from crashlab.report.numbers import row_of
from crashlab.report.plain import one_line
from crashlab.report.summary.facts import TRIALS, Counts, Found, HeatMap, Summary

__all__ = [
    "Table",
    "cells_table",
    "coverage_table",
    "environment_table",
    "exposure_tables",
    "findings_table",
    "gate_rows",
    "heat_table",
    "latency_table",
    "often",
    "phases_table",
    "totals",
    "where_line",
]

PERCENTILES = ("N", "mean", "p50", "p95", "p99", "max")
NOTE = "In brackets the 95 % interval; ≥ or ≤ where too few values leave one end open."
METRICS = ("frames", "rows", "seconds")
LATENCIES = {
    "restart": "start-up after the fault",
    "writer": "writer, start to end",
    "evidence": "the lab: copying the files",
    "exposure": "the lab: measuring exposure",
    "oracles": "the lab: judging",
}
_COMMANDS = {"": "crashlab gate", "kills": "crashlab run --fault … -- COMMAND", "lab": "trials in Python or pytest"}
_WHERE = ("os", "machine", "cores", "python", "sqlite", "file_system")
_STAMP = ("os", "machine", "cores", "python", "sqlite", "sqlite_source_id", "file_system")


class Table(msgspec.Struct, frozen=True):
    """A table. `numbers`: columns to be aligned to the right; `cut`: rows that were left out for room."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()
    note: str = ""
    cut: int = 0

    def first(self, most: int) -> "Table":
        """This table with at most so many rows."""
        over = len(self.rows) - most
        return self if over <= 0 else msgspec.structs.replace(self, rows=self.rows[:most], cut=self.cut + over)


def totals(counts: Counts) -> str:
    """All trials in one line; MISSED and ERROR are said where there are any."""
    text = f"{format_rate(counts.failures, counts.judged)} of the judged trials failed"
    for name, count in (("MISSED", counts.missed), ("ERROR", counts.errors), ("not judged", counts.inconclusive)):
        if count:
            text += f"; {count:,} {name}"
    return text


def where_line(summary: Summary) -> str:
    """The environment in one line; several, if the runs had several."""
    several = {
        " · ".join(_said(name, run.environment[name]) for name in _WHERE if run.environment.get(name))
        for run in summary.runs
        if run.environment
    }
    return one_line("; ".join(sorted(several))) or "the records do not say where it ran"


def _said(name: str, value: str) -> str:
    return f"SQLite {value}" if name == "sqlite" else f"{value} cores" if name == "cores" else value


def environment_table(summary: Summary) -> Table:
    """Where and how it ran: what every number needs beside it."""
    rows: list[tuple[str, str]] = []
    for run in summary.runs:
        rows.append(("command", _COMMANDS.get(run.command, f"crashlab {run.command}")))
        rows += [("subject", run.subject), ("seed", str(run.seed))]
        rows += [("fault", fault) for fault in run.faults[:20]]
        if run.params:
            rows.append(("parameters", " ".join(f"{name}={value}" for name, value in run.params.items())))
        rows += [(name.replace("_", " "), run.environment[name]) for name in _STAMP if run.environment.get(name)]
        if run.commit:
            rows.append(("commit", run.commit))
    rows += [(name, value) for name, value in sorted(summary.settings.items())]
    for source in summary.sources:
        torn = f", a torn last line of {source.torn} bytes left out" if source.torn else ""
        twice = f", {source.repeated:,} trials told twice and counted once" if source.repeated else ""
        rows.append(("records", f"{source.path}: {source.events:,} events{torn}{twice}"))
    rows += [("left out", f"{count:,} {name}, over the cap of a report") for name, count in summary.left_out.items()]
    return Table("Environment", ("what", "value"), tuple(dict.fromkeys(rows)))


def findings_table(summary: Summary) -> Table:
    """Each finding once."""
    rows = tuple(
        (found.identity, often(found, summary), found.message, next((each.fault for each in found.witnesses), ""))
        for found in summary.findings
    )
    return Table("Findings", ("finding", "how often", "first seen", "under"), rows)


def often(found: Found, summary: Summary) -> str:
    """How often a finding was there: of the trials with an interval, of computed states as a count."""
    parts = [f"{count:,} {what}" for what, count in found.counts.items() if what != TRIALS]
    if found.trials:
        judged = max(found.trials, summary.counts.judged)
        parts.insert(0, f"{format_rate(found.trials, judged)} of the judged trials")
    return "; ".join(parts)


def cells_table(summary: Summary) -> Table:
    """Each kind of fault under each set of parameters; what failed comes first."""
    cells = sorted(summary.cells, key=lambda cell: not cell.counts.failures)
    rows = tuple((cell.fault, _params(cell.params), *_counted(cell.counts)) for cell in cells)
    head = ("fault", "parameters", "N", "failed", "95 % bound", "missed", "error")
    return Table("Trials by fault and parameters", head, rows, (2, 3, 4, 5, 6))


def heat_table(heat: HeatMap) -> Table:
    """One map as a table: failed of judged."""
    title = f"Failures by fault and {heat.param}" if heat.param else "Failures by fault"
    rows = tuple(
        (fault, *(_failed(counts) for counts in row)) for fault, row in zip(heat.faults, heat.cells, strict=True)
    )
    head = ("fault", *(f"{heat.param}={value}" if heat.param else "failed of judged" for value in heat.values))
    note = "Failed of judged trials, and the 95 % bound of the rate."
    return Table(title, head, rows, tuple(range(1, len(heat.values) + 1)), note)


def exposure_tables(summary: Summary) -> Iterator[Table]:
    """Exposure at the fault: frames, rows and seconds that the main file alone does not hold."""
    said = {"frames": "Committed frames only in the WAL", "rows": "Acked rows only in the WAL"}
    said["seconds"] = "Age of the oldest acked row only in the WAL"
    for number, metric in enumerate(METRICS if summary.exposures else ()):
        rows = tuple(
            (each.value if not each.param else f"{each.param}={each.value}", *row_of(getattr(each, metric)))
            for each in summary.exposures
        )
        note = "In the clock of the trials." if metric == "seconds" else ""
        note = note if number else NOTE
        yield Table(f"{said[metric]} at the fault", ("trials", *PERCENTILES), rows, (1, 2, 3, 4, 5, 6), note)


def latency_table(summary: Summary) -> Table:
    """How long each part of a trial took."""
    there = [name for name in LATENCIES if name in summary.latencies]
    rows = tuple((LATENCIES[name], *row_of(summary.latencies[name])) for name in there)
    note = f"Real time, on the machine of the trials, as many in flight as it ran. {NOTE}"
    return Table("Times", ("part", *PERCENTILES), rows, (1, 2, 3, 4, 5, 6), note)


def phases_table(summary: Summary) -> Table:
    """Where the writer was when the fault hit."""
    wanted = max((run.phase_hits_min for run in summary.runs), default=0)
    judged = summary.counts.judged
    rows = tuple((phase, f"{hits:,}", format_bound(hits, max(hits, judged))) for phase, hits in summary.phases.items())
    note = f"The policy wants {wanted} of those that it names." if wanted else ""
    return Table("Where the fault hit", ("phase", "hits", "share of the judged trials, 95 %"), rows, (1, 2), note)


def coverage_table(summary: Summary) -> Table:
    """Explorations of recorded runs."""
    rows = tuple(
        (
            covered.row,
            str(one.get("policy", "")),
            *(_whole(one.get(name)) for name in ("generated", "distinct", "classes", "disks", "recoveries")),
            _whole(one.get("cross_checked")),
            f"{covered.failures:,} of {covered.judged:,}",
            str(one.get("stop", "")),
        )
        for covered in summary.covered
        for one in covered.coverage
    )
    head = ("row", "model", "states", "distinct", "classes", "disks", "recoveries", "cross-checks", "failed", "end")
    note = "Computed states are no random sample, so they have no interval. Failed: of classes and single disks."
    return Table("Crash states of recorded runs", head, rows, tuple(range(2, 9)), note)


def gate_rows(report: GateReport) -> Table:
    """A gate's own rows."""
    rows = []
    for row in report.rows:
        bare = row.group == CONTROLS or not row.judged
        bound = "" if bare or row.group in (TRACE, "preflight") else format_bound(row.failures, row.judged)
        exposure = "" if row.exposure is None else f"{row.exposure.frames_p95} frames {row.exposure.rows_p95} rows"
        detail = ", ".join(row.invariants) or row.detail
        counted = ("", "") if bare else (f"{row.judged:,}", f"{row.failures:,}")
        rows.append((row.group, row.name, *counted, bound, exposure, row.result.value, detail))
    head = ("group", "check", "N", "failed", "95 % bound", "only in WAL, p95", "result", "detail")
    return Table(f"Gate of {report.subject}", head, tuple(rows), (2, 3, 4, 5))


def _counted(counts: Counts) -> tuple[str, ...]:
    bound = format_bound(counts.failures, counts.judged)
    return (f"{counts.judged:,}", f"{counts.failures:,}", bound, f"{counts.missed:,}", f"{counts.errors:,}")


def _failed(counts: Counts) -> str:
    if not counts.judged:
        return f"{counts.trials} not judged" if counts.trials else "-"
    return f"{counts.failures:,}/{counts.judged:,}  {format_bound(counts.failures, counts.judged)}"


def _params(params: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in params.items())


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value or "")
