"""The formats of a summary, by name."""

from collections.abc import Callable

import msgspec
from rich.console import Console, RenderableType

from crashlab.errors import UsageError
from crashlab.report.compare import Comparison
from crashlab.report.compare_text import ComparisonText, comparison_html, comparison_markdown
from crashlab.report.github import annotations
from crashlab.report.junit import summary_junit
from crashlab.report.markdown import summary_markdown
from crashlab.report.page import page_html
from crashlab.report.summary.facts import Summary
from crashlab.report.summary_text import SummaryText

__all__ = ["RENDERED", "render", "render_comparison"]

PLAIN_WIDTH = 120


def _text(summary: Summary) -> str:
    return _plain(SummaryText(summary))


def _plain(shown: RenderableType) -> str:
    console = Console(width=PLAIN_WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(shown, highlight=False, crop=False)
    return captured.get()


def _json(summary: Summary) -> str:
    return msgspec.json.format(msgspec.json.encode(summary)).decode() + "\n"


RENDERED: dict[str, Callable[[Summary], str]] = {
    "text": _text,
    "json": _json,
    "junit": summary_junit,
    "html": page_html,
    "github": annotations,
    "markdown": summary_markdown,
}


def render(name: str, summary: Summary) -> bytes:
    """Return a summary in a format of RENDERED, encoded.

    Raises:
        UsageError: there is no such format, or it needs a package that is not installed.
    """
    if name not in RENDERED:
        raise UsageError(f"unknown format {name!r}; known: {', '.join(RENDERED)}")
    return RENDERED[name](summary).encode(errors="backslashreplace")


def render_comparison(name: str, found: Comparison) -> bytes:
    """Return a comparison as text, json, markdown or html, encoded."""
    if name == "json":
        return msgspec.json.format(msgspec.json.encode(found)) + b"\n"
    if name == "text":
        return _plain(ComparisonText(found)).encode(errors="backslashreplace")
    made = comparison_html(found) if name == "html" else comparison_markdown(found)
    return made.encode(errors="backslashreplace")
