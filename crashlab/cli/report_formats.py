"""The formats of a report on the command line: made from a run's records, whichever command made these."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import msgspec

from crashlab.cli.options import FORMATS, Output
from crashlab.engine.results.read import Records
from crashlab.errors import UsageError
from crashlab.report.summary.facts import Summary

__all__ = [
    "REPORTS",
    "asked",
    "lines_of",
    "open_output",
    "report_format_option",
    "require_only",
    "tell_reports",
    "write_out",
]

DRAWN = ("junit", "html", "github", "markdown")
REPORTS = (*FORMATS, *DRAWN)


def _formats(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in REPORTS if name.startswith(incomplete)]


report_format_option = click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME[=PATH]",
    help="text, json, ndjson, junit, html, github or markdown; repeatable.",
    shell_complete=_formats,
)


def open_output(formats: tuple[str, ...]) -> Output:
    """Check the formats before the work, not after it.

    Raises:
        UsageError: an unknown format, two for standard output, a file that is there, no jinja2 for a page.
    """
    output = Output(formats, REPORTS)
    if asked(output, "html"):
        from crashlab.report.autopsy_html import require_jinja2

        require_jinja2()
    return output


def asked(output: Output, name: str) -> bool:
    """Whether a format was asked for, wherever it goes."""
    return output.stdout == name or name in output.files.values()


def require_only(output: Output, known: Sequence[str], why: str) -> None:
    """Refuse the formats that a form of a command does not have.

    Raises:
        UsageError: one was asked for.
    """
    for name in REPORTS:
        if name not in known and asked(output, name):
            raise UsageError(f"--format {name} is given: {why}; it takes {', '.join(known)}")


def tell_reports(
    output: Output, directories: Sequence[Path], own: Callable[[str], bytes], known: Summary | None = None
) -> None:
    """Write what was asked for: reports from the records of these runs; `own` makes text, json and ndjson.

    `known`: the summary of these records, if there is one already. With `github` the step's summary is written, too.
    """
    found: list[Summary] = [] if known is None else [known]

    def summary() -> Summary:
        from crashlab.report.summary.fold import summarise

        if not found:
            found.append(summarise(map(str, directories)))
        return found[0]

    def make(name: str) -> bytes:
        from crashlab.report.formats import render

        return render(name, summary()) if name in DRAWN else own(name)

    if output.stdout in DRAWN:
        write_out(make(output.stdout))
    output.save(make)
    if asked(output, "github"):
        from crashlab.report.github import append_step_summary

        remark = append_step_summary(summary(), os.environ)
        if remark:
            click.echo(f"crashlab: {remark}", err=True)


def write_out(data: bytes) -> None:
    """Bytes to standard output, as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def lines_of(paths: Sequence[str]) -> Iterator[bytes]:
    """Yield the events of several records files, whole lines only, as they would be written."""
    encode = msgspec.json.Encoder().encode
    for path in paths:
        for record in Records(path):
            yield encode(record) + b"\n"
