"""A comparison for the terminal, as Markdown and as a page."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions
from rich.text import Text

from crashlab.report.compare import Comparison, comparison_tables
from crashlab.report.figures import Figure
from crashlab.report.markdown import escaped, table_markdown
from crashlab.report.page import page_environment
from crashlab.report.plain import one_line
from crashlab.report.summary_text import answer_style, table_lines
from crashlab.report.svg.curves import exposure_curves

__all__ = ["ComparisonText", "comparison_html", "comparison_markdown"]

_SAID = {
    "frames": "Committed frames only in the WAL at the fault",
    "rows": "Acked rows only in the WAL at the fault",
    "seconds": "Age of the oldest acked row only in the WAL at the fault",
}


class ComparisonText:
    """A comparison, renderable on a rich console. Nothing in it is read as markup."""

    def __init__(self, found: Comparison) -> None:
        self._found = found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines."""
        found = self._found
        for letter, name, answer, said in zip("AB", found.names, found.answers, found.totals, strict=True):
            yield _line(
                Text.assemble(
                    (f"{letter}  ", "bold"),
                    (f" {one_line(answer.word)} ", f"reverse {answer_style(answer.word)}"),
                    f"  {one_line(name)}: {one_line(said)}",
                )
            )
        for letter, where in zip("AB", found.where, strict=True):
            yield _line(Text(f"{letter}  {where}", style="dim"))
        for table in comparison_tables(found):
            yield Text()
            for line in table_lines(table, max(40, options.max_width)):
                yield _line(line)


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ignore"
    return text


def comparison_markdown(found: Comparison) -> str:
    """Return the comparison as Markdown."""
    lines = ["## What changed", ""]
    for letter, name, answer, said in zip("AB", found.names, found.answers, found.totals, strict=True):
        lines.append(f"- **{letter}** {escaped(answer.word)}, {escaped(name)}: {escaped(said)}")
    lines += [f"- {letter}: {escaped(where)}" for letter, where in zip("AB", found.where, strict=True)]
    lines.append("")
    for table in comparison_tables(found):
        lines += table_markdown(table)
    return "\n".join(lines) + "\n"


def comparison_html(found: Comparison) -> str:
    """Return the comparison as a page of its own. Raises UsageError where jinja2 is not installed."""
    figures = []
    for metric, a, b in found.exposures:
        svg, names = exposure_curves(_SAID[metric], [("A", a), ("B", b)])
        legend = tuple((f"c{number}", "line", name) for number, name in enumerate(names))
        figures.append(Figure(_SAID[metric], svg, legend))
    sides = list(zip("AB", found.names, found.answers, found.totals, found.where, strict=True))
    template = page_environment().get_template("compare.html")
    return str(template.render(sides=sides, tables=comparison_tables(found), figures=figures))
