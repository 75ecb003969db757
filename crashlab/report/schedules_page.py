"""A campaign of schedules as one HTML page: each failure with its lanes, its story and its commands."""

from collections.abc import Mapping
from typing import Any

from crashlab.engine.schedules.campaign import Found, Result
from crashlab.engine.schedules.story import program_text
from crashlab.report.figures import Figure
from crashlab.report.lanes import lane_spans, lanes_svg, lanes_table
from crashlab.report.page import page_environment
from crashlab.report.schedules import summary_lines
from crashlab.report.tables import Table

__all__ = ["schedules_html"]


def schedules_html(result: Result, commands: Mapping[str, str]) -> str:
    """Return the whole page; needs no network and no scripts. `commands`: by case directory, what replays it.

    Raises UsageError where jinja2 is not installed.
    """
    *counted, verdict = summary_lines(result)
    page: str = (
        page_environment()
        .get_template("schedules.html")
        .render(
            result=result,
            version=result.engine.partition(" ")[0],
            said=verdict.partition(": ")[2],
            counted=counted,
            findings=[_finding(found, commands.get(found.case_dir, "")) for found in result.found],
        )
    )
    return page


def _finding(found: Found, command: str) -> dict[str, Any]:
    names = [actor.lane for actor in found.small.script.actors]
    spans = lane_spans(found.spans)
    head, *rows = lanes_table(names, spans)
    title = f"who ran when: {found.program}"
    table = Table("the same in words", head, tuple(rows), (0, 2))
    drawing = Figure(title, lanes_svg(names, spans, title=title) if spans else "", table=table)
    return {"found": found, "before": program_text(found.as_found.script), "lanes": drawing, "command": command}
