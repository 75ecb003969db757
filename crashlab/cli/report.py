"""`crashlab report`: any format from the records of campaigns; `--compare` says what changed between two."""

from pathlib import Path

import click

from crashlab.cli.options import console_for_people, examples
from crashlab.cli.report_formats import (
    lines_of,
    open_output,
    report_format_option,
    require_only,
    tell_reports,
    write_out,
)
from crashlab.errors import UsageError

COMPARED = ("text", "json", "markdown", "html")


@click.command(
    short_help="A report from records: text, page, JUnit, Markdown; or what changed.",
    epilog=examples(
        "crashlab report .crashlab/runs/run-0001 --format html=run.html",
        "crashlab report .crashlab/runs/run-0001 --format junit=crashlab.xml --format github",
        "crashlab report --compare .crashlab/runs/run-0001 .crashlab/runs/run-0002",
        exit_codes="0 a report was made · 2 usage, or records that are none · 3 there is nothing to report.",
    ),
)
@click.argument("records", nargs=-1, required=True, type=click.Path())
@click.option("--compare", "comparing", is_flag=True, help="Say what changed from the first to the second.")
@report_format_option
def report(records: tuple[str, ...], comparing: bool, formats: tuple[str, ...]) -> int:
    """Make reports from RECORDS: directories of runs, or their records.ndjson. Nothing else is needed.

    Several are summed up in one report. Files are never overwritten.
    """
    from crashlab.report.formats import render, render_comparison
    from crashlab.report.summary.fold import summarise
    from crashlab.report.summary_text import SummaryText

    output = open_output(formats)
    if comparing:
        if len(records) != 2:
            raise UsageError(f"--compare takes two records, A and B; given: {len(records)}")
        require_only(output, COMPARED, "a comparison has no such form")
        from crashlab.report.compare import compare
        from crashlab.report.compare_text import ComparisonText

        a, b = (summarise([path]) for path in records)
        found = compare(a, b, (records[0], records[1]))
        if output.stdout in ("", "text"):
            console_for_people().print(ComparisonText(found), highlight=False, crop=False)
        else:
            write_out(render_comparison(output.stdout, found))
        output.save(lambda name: render_comparison(name, found))
        return 0
    summary = summarise(records)
    if output.stdout in ("", "text"):
        console_for_people().print(SummaryText(summary), highlight=False, crop=False)
    elif output.stdout == "ndjson":
        for line in lines_of(records):
            write_out(line)
    elif output.stdout == "json":
        write_out(render("json", summary))
    tell_reports(
        output,
        [Path(path) for path in records],
        lambda name: b"".join(lines_of(records)) if name == "ndjson" else render(name, summary),
        summary,
    )
    empty = not (summary.counts.trials or summary.gates or summary.study or summary.covered)
    if empty and not output.for_people:
        click.echo("crashlab: no trial was run, so there is nothing to report", err=True)
    return 3 if empty else 0
