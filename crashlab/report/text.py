"""The gate's answer as text for people: the table, the phase hits, the decision, the commands."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from crashlab.decide.evidence import ExposureSummary, GateReport, Row, RowResult
from crashlab.decide.statistics import format_rate

_STYLES = {
    RowResult.OK: "green",
    RowResult.WARN: "yellow",
    RowResult.FAIL: "bold red",
    RowResult.MISSED: "bold yellow",
    RowResult.INCONCLUSIVE: "bold yellow",
}
_DECISIONS = {"GO": "bold green", "NO-GO": "bold red"}


def gate_table(report: GateReport) -> Table:
    """One row per check: what, N, result, upper 95 % bound where nothing failed, exposure."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("check", ratio=4, overflow="fold")
    table.add_column("N", justify="right")
    table.add_column("result")
    table.add_column("failures, 95 % bound")
    table.add_column("in WAL only, p95")
    group = ""
    for row in report.rows:
        if row.group != group:
            group = row.group
            table.add_row(Text(group, style="bold"))
        table.add_row(
            Text("  " + row.name),
            str(row.judged) if row.judged else "",
            Text(row.result.value, style=_STYLES.get(row.result, "")),
            _bound(row),
            _exposure(row.exposure),
        )
        note = _note(row)
        if note:
            table.add_row(Text("    " + note, style="dim"))
    return table


def render_gate(report: GateReport) -> RenderableType:
    """The whole answer."""
    env = report.environment
    where = f"{env.get('os', '')} · Python {env.get('python', '')} · SQLite {env.get('sqlite', '')} · {env.get('file_system', '')}"
    hits = "  ".join(f"{phase} {count}" for phase, count in report.phase_hits.items())
    lines: list[RenderableType] = [
        Text(f"crashlab gate · subject {report.subject} · seed {report.seed}", style="bold"),
        Text(where, style="dim"),
        gate_table(report),
        Text(f"kills per phase (at least {report.phase_hits_min} each): {hits}"),
        Text(
            f"{report.trials} trials, {report.kills} of them ended by SIGKILL, in {report.seconds:.0f} s; "
            f"stopped because: {report.stop}"
        ),
        Text(),
        Text.assemble(
            (f" {report.decision} ", f"reverse {_DECISIONS.get(report.decision, 'bold yellow')}"),
            "  fault class: process death (kill, terminal hang-up). A kill is not a power loss.",
        ),
    ]
    lines += [Text(f"  · {reason}") for reason in report.reasons[:12]]
    if len(report.reasons) > 12:
        lines.append(Text(f"  · and {len(report.reasons) - 12} more"))
    if report.records:
        lines.append(Text(f"records: {report.records}"))
    lines += [Text(f"  {command}", style="bold") for command in report.commands]
    return Group(*lines)


def _bound(row: Row) -> str:
    if not row.judged:
        return ""
    return format_rate(row.failures, row.judged)


def _exposure(exposure: ExposureSummary | None) -> str:
    if exposure is None:
        return ""
    return f"{exposure.frames_p95} frames, {exposure.rows_p95} rows"


def _note(row: Row) -> str:
    parts = []
    if row.invariants and row.result is RowResult.FAIL:
        parts.append(", ".join(row.invariants))
    if row.detail and (row.result is not RowResult.OK or row.group in ("environment", "preflight")):
        parts.append(row.detail)
    if row.missed:
        parts.append(f"{row.missed} missed (the fault did not fire)")
    if row.errors:
        parts.append(f"{row.errors} errors of the lab")
    return "; ".join(parts)
