"""A report as Markdown: for a job's summary, an issue, a page. Everything from outside is escaped."""

import re
from collections.abc import Iterable, Iterator

from crashlab.report.numbers import duration
from crashlab.report.plain import one_line
from crashlab.report.study_drawings import study_tables
from crashlab.report.summary.facts import Found, Summary
from crashlab.report.tables import (
    Table,
    cells_table,
    coverage_table,
    environment_table,
    exposure_tables,
    findings_table,
    gate_rows,
    heat_table,
    latency_table,
    phases_table,
    totals,
    where_line,
)

__all__ = ["escaped", "summary_markdown", "table_markdown"]

ROWS_MAX = 40
FINDINGS_MAX = 20
_CELL_MAX = 300
_SPECIAL = re.compile(r"([\\`*_\[\]|~#$])")
_MARKS = {"GO": "✅", "PASS": "✅", "NO-GO": "❌", "FAIL": "❌", "INCONCLUSIVE": "⚠️", "STUDY": "📈"}


def summary_markdown(summary: Summary, rows_max: int = ROWS_MAX) -> str:
    """Return the whole report; tables of at most `rows_max` rows, and what is cut is said."""
    return "\n".join(_parts(summary, rows_max)) + "\n"


def _parts(summary: Summary, rows_max: int) -> Iterator[str]:
    answer = summary.answer
    yield f"## {_MARKS.get(answer.word, '')} {escaped(answer.word)}: {escaped(answer.claim)}".replace("  ", " ")
    yield ""
    yield from (f"- {escaped(reason)}" for reason in answer.reasons)
    yield ""
    if summary.counts.trials:
        states = f", and {summary.states:,} computed crash states" if summary.states else ""
        rate = f"{escaped(totals(summary.counts))}; " if summary.gates else ""
        yield f"{rate}{summary.counts.trials:,} trials{states} in {duration(summary.seconds)}."
        yield from ("", escaped(where_line(summary)))
        yield ""
    for found in summary.findings[:FINDINGS_MAX]:
        yield from _finding(found)
    if len(summary.findings) > FINDINGS_MAX:
        yield from (f"… and {len(summary.findings) - FINDINGS_MAX} more findings; `--format json` has all.", "")
    tables: list[Table] = [gate_rows(report) for report in summary.gates]
    tables.append(findings_table(summary))
    tables += study_tables(summary.study)
    tables += [heat_table(heat) for heat in summary.heat if summary.cells]
    tables += [*exposure_tables(summary), latency_table(summary), phases_table(summary), coverage_table(summary)]
    tables += [cells_table(summary), environment_table(summary)]
    for table in tables:
        if table.rows:
            yield from table_markdown(table.first(rows_max))


def _finding(found: Found) -> Iterator[str]:
    yield f"### ❌ {escaped(found.identity)}"
    yield ""
    yield f"{escaped(found.often)}. {escaped(found.message)}"
    yield ""
    for witness in found.witnesses[:1]:
        commands = [each for each in (witness.replay, witness.reduce) if each]
        yield f"Witness: {_code(witness.fault)}, seed {witness.seed}. {escaped(witness.fired)}"
        yield ""
        if commands:
            yield from _fenced(commands)


def table_markdown(table: Table) -> Iterator[str]:
    """Yield one table with its heading, folded away where a page can."""
    yield f"### {escaped(table.title)}"
    yield ""
    yield f"| {' | '.join(map(escaped, table.head))} |"
    yield "|" + "|".join("---:" if number in table.numbers else "---" for number in range(len(table.head))) + "|"
    for row in table.rows:
        yield f"| {' | '.join(escaped(cell) for cell in row)} |"
    yield ""
    if table.cut:
        yield from (f"… and {table.cut:,} more rows; `--format json` has all.", "")
    if table.note:
        yield from (escaped(table.note), "")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no link, image, tag, cell or mention of its own."""
    line = one_line(text)
    line = line if len(line) <= _CELL_MAX else line[: _CELL_MAX - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def _code(text: str) -> str:
    return f"`{one_line(text).replace('`', chr(39))}`"


def _fenced(lines: Iterable[str]) -> Iterator[str]:
    shown = [one_line(line) for line in lines]
    ticks = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, ticks + 1)
    yield from (f"{fence}sh", *shown, fence, "")
