"""A report for the terminal: the decision first, then findings with their commands, then the tables."""

import textwrap
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions
from rich.text import Text

from crashlab.report.numbers import duration
from crashlab.report.plain import one_line, printable
from crashlab.report.study_drawings import study_tables
from crashlab.report.summary.facts import Found, Summary
from crashlab.report.tables import (
    Table,
    cells_table,
    coverage_table,
    environment_table,
    exposure_tables,
    gate_rows,
    heat_table,
    latency_table,
    phases_table,
    where_line,
)

__all__ = ["SummaryText", "answer_style", "table_lines"]

ROWS_MAX = 30
FINDINGS_MAX = 20
_STYLES = {"GO": "bold green", "PASS": "bold green", "NO-GO": "bold red", "FAIL": "bold red", "STUDY": "bold cyan"}
_WIDEST = 60


def answer_style(word: str) -> str:
    """The colour of an answer."""
    return _STYLES.get(word, "bold yellow")


class SummaryText:
    """A summary, renderable on a rich console. Nothing in it is read as markup."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines."""
        for text in self._lines(max(40, options.max_width)):
            text.no_wrap, text.overflow = True, "ignore"
            yield text

    def _lines(self, width: int) -> Iterator[Text]:
        summary = self._summary
        answer = summary.answer
        yield Text.assemble(
            (f" {one_line(answer.word)} ", f"reverse {answer_style(answer.word)}"), f"  {one_line(answer.claim)}"
        )
        for reason in answer.reasons:
            yield from _wrapped(f"· {one_line(reason)}", width, "  ")
        if summary.counts.trials:
            states = f", and {summary.states:,} computed crash states" if summary.states else ""
            yield Text(f"{summary.counts.trials:,} trials{states} in {duration(summary.seconds)}; {summary.stop}")
        yield Text(where_line(summary), style="dim")
        for found in summary.findings[:FINDINGS_MAX]:
            yield Text()
            yield from _finding(found, width)
        if len(summary.findings) > FINDINGS_MAX:
            yield Text(f"… and {len(summary.findings) - FINDINGS_MAX} more findings; --format json has all")
        for error in summary.errors[:1]:
            yield from _wrapped(f"ERROR: {one_line(error)}", width, "  ", "yellow")
        tables: list[Table] = [gate_rows(report) for report in summary.gates]
        tables += study_tables(summary.study)
        tables += [heat_table(heat) for heat in summary.heat if heat.param]
        tables += [*exposure_tables(summary), latency_table(summary), phases_table(summary), coverage_table(summary)]
        tables += [cells_table(summary), environment_table(summary)]
        for table in tables:
            if table.rows:
                yield Text()
                yield from table_lines(table.first(ROWS_MAX), width)


def _finding(found: Found, width: int) -> Iterator[Text]:
    yield Text(f"FAIL {one_line(found.identity)} in {found.often}", style="bold red")
    yield from _wrapped(f"seen       {one_line(found.message)}", width, "  ")
    for witness in found.witnesses[:1]:
        yield Text(f"  fault      {one_line(witness.fault)}  seed {witness.seed}")
        for name, command in (("replay", witness.replay), ("reduce", witness.reduce)):
            if command:
                yield Text(f"  {name}     {printable(command)}", style="bold")


def table_lines(table: Table, width: int) -> Iterator[Text]:
    """Yield a table as lines: its columns as wide as they need, the last one wrapped into what is left."""
    yield Text(one_line(table.title), style="bold")
    rows = [tuple(one_line(cell) for cell in row) for row in (table.head, *table.rows)]
    last = len(table.head) - 1
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(last + 1)]
    room = max(20, width - 4 - sum(widths[:last]) - 2 * last)
    for number, row in enumerate(rows):
        cells = [
            f"{cell:>{size}}" if column in table.numbers else f"{cell:<{size}}"
            for column, (cell, size) in enumerate(zip(row[:last], widths[:last], strict=True))
        ]
        margin = "  " + "".join(f"{cell}  " for cell in cells)
        folded = textwrap.wrap(row[last], room, break_on_hyphens=False) or [""]
        if last in table.numbers:
            folded = [f"{row[last]:>{widths[last]}}"]
        style = "dim" if not number else ""
        yield Text((margin + folded[0]).rstrip(), style=style)
        indent = " " * min(len(margin), max(8, width - 24))
        for line in folded[1:]:
            yield Text(indent + line, style=style)
    if table.cut:
        yield Text(f"  … and {table.cut:,} more rows; --format json has all", style="dim")
    if table.note:
        yield from _wrapped(table.note, width, "  ", "dim")


def _wrapped(text: str, width: int, margin: str, style: str = "") -> Iterator[Text]:
    wrapper = textwrap.TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    wrapper.initial_indent, wrapper.subsequent_indent = margin, margin + "  "
    for line in wrapper.wrap(text):
        yield Text(line, style=style)
