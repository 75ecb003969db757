"""The gate's answer as text for people: the table, the phase hits, the decision, the commands."""

import textwrap
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from crashlab.decide.evidence import CONTROLS, ExposureSummary, GateReport, Row, RowResult
from crashlab.decide.statistics import format_bound
from crashlab.decide.trace_rows import GROUP as TRACE
from crashlab.model.contract import FaultClass
from crashlab.report.plain import one_line, printable

_STYLES = {
    RowResult.OK: "green",
    RowResult.WARN: "yellow",
    RowResult.FAIL: "bold red",
    RowResult.MISSED: "bold yellow",
    RowResult.INCONCLUSIVE: "bold yellow",
}
_DECISIONS = {"GO": "bold green", "NO-GO": "bold red"}
_ALWAYS_EXPLAINED = ("environment", "preflight", TRACE)
_NAME_CHARS_MAX = 52
_SHOWN = {RowResult.NOT_JUDGED: "not judged here"}
_HEAD = ("N", "failed", "95 % bound", "only in WAL, p95", "result")
REASONS_SHOWN = 12


class _Indented:
    """A paragraph with a margin, without the spaces that rich pads its lines with."""

    def __init__(self, text: str, margin: int, style: str = "") -> None:
        self._text = text
        self._margin = " " * margin
        self._style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for line in textwrap.wrap(
            self._text,
            max(20, options.max_width),
            initial_indent=self._margin,
            subsequent_indent=self._margin,
            break_long_words=False,
            break_on_hyphens=False,
        ):
            yield Text(line, style=self._style, overflow="ignore", no_wrap=True)


def gate_table(rows: tuple[Row, ...]) -> list[RenderableType]:
    """One line per check: what, N, failures, upper 95 % bound, exposure, result; remarks beneath."""
    width = min(_NAME_CHARS_MAX, max((len(one_line(row.name)) for row in rows), default=0))
    lines: list[RenderableType] = [Text(_line("check", width, *_HEAD), style="bold")]
    group = ""
    for row in rows:
        name = "  " + one_line(row.name)
        if row.group != group:
            group = row.group
            lines.append(Text(one_line(group), style="bold"))
        counted = ("", "", "") if row.group == CONTROLS or not row.judged else _counted(row)
        if len(name) > width + 2:
            lines.append(Text(name))  # too long for its column: the numbers follow on the next line
            name = ""
        line = Text(_line(name, width, *counted, _exposure(row.exposure)))
        caught = row.group == CONTROLS and row.result is RowResult.OK
        shown = "caught, twin ok" if caught else _SHOWN.get(row.result, row.result.value)
        line.append(shown, style=_STYLES.get(row.result, ""))
        lines.append(line)
        remark = one_line(_remark(row))
        if remark:
            lines.append(_Indented(remark, 4, "dim"))
    return lines


def render_gate(report: GateReport) -> RenderableType:
    """The whole answer."""
    env = report.environment
    where = [env.get("os", ""), f"Python {env.get('python', '')}", f"SQLite {env.get('sqlite', '')}"]
    where.append(env.get("file_system", ""))
    subject = one_line(report.subject)
    hits = "  ".join(f"{one_line(phase)} {count}" for phase, count in report.phase_hits.items())
    lines: list[RenderableType] = [
        Text(f"crashlab gate · subject {subject} · seed {report.seed}", style="bold"),
        Text(one_line(" · ".join(where)), style="dim"),
        Text(),
        *gate_table(report.rows),
        Text(),
        Text(f"kills inside each phase (the policy wants {report.phase_hits_min}): {hits}"),
        Text(
            f"{report.trials} trials, {report.kills} ended by SIGKILL"
            + (f", and {report.states:,} computed crash states" if report.states else "")
            + f", in {report.seconds:.0f} s; stopped because: {one_line(report.stop)}"
        ),
        Text(),
        Text.assemble(
            (f" {one_line(report.decision)} ", f"reverse {_DECISIONS.get(report.decision, 'bold yellow')}"),
            f"  {_claim(report)}",
        ),
    ]
    lines += [_Indented(f"· {one_line(reason)}", 2) for reason in report.reasons[:REASONS_SHOWN]]
    if len(report.reasons) > REASONS_SHOWN:
        lines.append(Text(f"  · and {len(report.reasons) - REASONS_SHOWN} more"))
    if report.records:
        lines.append(Text(f"records: {printable(report.records)}", overflow="ignore", no_wrap=True))
    lines += [
        Text(f"  {printable(command)}", style="bold", overflow="ignore", no_wrap=True) for command in report.commands
    ]
    return Group(*lines)


def print_gate(console: Console, report: GateReport) -> None:
    """Print the whole answer; its commands stay in one piece, however narrow the console."""
    console.print(render_gate(report), highlight=False, crop=False)


def _line(name: str, width: int, n: str, failed: str, bound: str, exposure: str, result: str = "") -> str:
    return f"{name:<{width + 2}}  {n:>5} {failed:>7}  {bound:>11}  {exposure:>19}  {result}"


def _claim(report: GateReport) -> str:
    """Name the fault classes that the answer is about: no claim without one."""
    judged = {row.fault_class for row in report.rows if row.judged}
    claims = ["process death (kill, terminal hang-up)"]
    if FaultClass.POWER_LOSS in judged:
        claims.append("power loss (computed)")
    if FaultClass.IO_ERROR in judged:
        claims.append("I/O errors")
    return f"for {', '.join(claims)}" + ("" if len(claims) > 1 else "; a kill is not a power loss")


def _counted(row: Row) -> tuple[str, str, str]:
    # One preflight is no rate, and computed states are no random sample of what happens to machines.
    bound = "" if row.group in (TRACE, "preflight") else format_bound(row.failures, row.judged)
    return f"{row.judged:,}" if row.group == TRACE else str(row.judged), str(row.failures), bound


def _exposure(exposure: ExposureSummary | None) -> str:
    if exposure is None:
        return ""
    return f"{exposure.frames_p95} frames {exposure.rows_p95} rows"


def _remark(row: Row) -> str:
    parts = []
    if row.invariants and row.result is RowResult.FAIL:
        parts.append("violated: " + ", ".join(row.invariants))
    if row.detail and (row.result is not RowResult.OK or row.group in _ALWAYS_EXPLAINED):
        parts.append(row.detail)
    if row.missed:
        parts.append(f"{row.missed} MISSED: the fault did not fire")
    if row.errors:
        parts.append(f"{row.errors} ERROR: the lab or the workload broke")
    return "; ".join(parts)
