"""An autopsy as one page that needs nothing else: no network, no scripts, light and dark as the reader has it."""

import importlib
from pathlib import Path
from typing import Any

import msgspec

from crashlab.diagnosis.autopsy.report import Report
from crashlab.diagnosis.autopsy.text import SHOWN_IN_FULL
from crashlab.errors import UsageError
from crashlab.report.plain import printable

__all__ = ["autopsy_html", "require_jinja2"]

_TEMPLATE = Path(__file__).with_name("templates") / "autopsy.html"


def autopsy_html(report: Report) -> str:
    """The whole page. Everything that comes from the files is escaped, control characters are written out.

    Raises UsageError where jinja2 is not installed.
    """
    jinja2 = require_jinja2()
    environment = jinja2.Environment(
        autoescape=True, finalize=_shown, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    facts = report.facts
    parts = [
        ("header", facts.header),
        ("WAL", facts.wal),
        ("wal-index", facts.shm),
        ("rollback journal", facts.journal),
        ("features", facts.features),
    ]
    page: str = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        parts=[(title, None if part is None else msgspec.to_builtins(part)) for title, part in parts],
        shown=SHOWN_IN_FULL,
    )
    return page


def require_jinja2() -> Any:
    """Import jinja2, or raise UsageError that names it."""
    try:
        return importlib.import_module("jinja2")
    except ImportError:
        raise UsageError("--format html needs jinja2, which is not installed; pip install 'crashlab[report]'") from None


def _shown(value: Any) -> Any:
    return printable(value) if type(value) is str else value
