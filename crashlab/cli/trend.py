"""`crashlab trend`: findings and rates over several runs, from their records."""

import io
from collections.abc import Iterator

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crashlab.cli.options import PLAIN_WIDTH, Output, console_for_people, examples, format_option
from crashlab.decide.statistics import format_rate
from crashlab.decide.trend import Change, Point, Series, trend
from crashlab.errors import UsageError
from crashlab.report.plain import printable

CHANGES_MAX = 40


@click.command(
    name="trend",
    short_help="Findings and rates across commits, from records.",
    epilog=examples(
        "crashlab trend .crashlab",
        "crashlab trend .crashlab/runs/run-0001 .crashlab/runs/run-0002 --format json",
        exit_codes="0 told · 2 usage, or records that are none · 3 nothing was judged.",
    ),
)
@click.argument("records", nargs=-1, required=True, type=click.Path())
@format_option
def trend_command(records: tuple[str, ...], formats: tuple[str, ...]) -> int:
    """Compare runs in the order given: each with its commit, and what changed from one to the next, with an interval.

    RECORDS are directories of runs, their records.ndjson, or a directory with runs in it. Only runs of one subject
    under the same faults and parameters are compared.
    """
    output = Output(formats)
    for name in (output.stdout, *output.files.values()):
        if name == "ndjson":
            raise UsageError("--format ndjson: a trend has no such form; text and json are there")
    found = trend(records)
    data = msgspec.json.format(msgspec.json.encode(found)) + b"\n"
    if output.for_people:
        _print(console_for_people(), found)
    else:
        click.echo(data.decode(), nl=False)
    output.save(lambda name: data if name == "json" else _plain(found))
    return 0 if any(point.judged for series in found for point in series.points) else 3


def _plain(found: tuple[Series, ...]) -> bytes:
    console = Console(file=io.StringIO(), width=PLAIN_WIDTH)
    with console.capture() as captured:
        _print(console, found)
    return captured.get().encode(errors="backslashreplace")


def _print(console: Console, found: tuple[Series, ...]) -> None:
    for number, series in enumerate(found):
        if number:
            console.print()
        params = " ".join(f"{name}={value}" for name, value in sorted(series.params.items()))
        title = " · ".join(filter(None, (series.command, series.subject, ", ".join(series.faults), params)))
        console.print(Text(printable(title), style="bold"), soft_wrap=True)
        console.print(_table(series))
        for line in _lines(series):
            console.print(Text(printable(line)), soft_wrap=True)


def _table(series: Series) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    decided = any(point.decision for point in series.points)
    for name in ("run", "commit", "date", "judged", "failures", *(["decision"] if decided else [])):
        table.add_column(name, justify="right" if name == "judged" else "left", overflow="fold")
    for point in series.points:
        cells = [
            point.run,
            point.label if point.commit else "none",
            point.committed[:10],
            f"{point.judged:,}",
            _failures(point),
            *([point.decision] if decided else []),
        ]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _failures(point: Point) -> str:
    states = f"; {point.states:,} crash states" if point.states else ""
    other = "".join(f"; {count} {name}" for name, count in (("MISSED", point.missed), ("ERROR", point.errors)) if count)
    torn = f"; a torn last line of {point.torn} bytes is left out" if point.torn else ""
    return format_rate(point.failures, point.judged) + states + other + torn


def _lines(series: Series) -> Iterator[str]:
    yield from (f"other environment: {line}" for line in series.environments)
    if len(series.points) < 2:
        yield "one run: nothing to compare it with"
        return
    telling = [change for change in series.changes if _tells(change)]
    for change in telling[:CHANGES_MAX]:
        yield _line(change)
    if len(telling) > CHANGES_MAX:
        yield f"and {len(telling) - CHANGES_MAX} more; --format json has all"
    if not telling:
        yield "no change that the number of trials could tell from chance"


def _tells(change: Change) -> bool:
    """A clear change; and a finding that came or went, however few trials there were."""
    return change.clear or bool(change.finding and (not change.a[0] or not change.b[0]))


def _line(change: Change) -> str:
    (in_a, of_a), (in_b, of_b) = change.a, change.b
    what = change.finding or "all failures together"
    word = "more often" if change.value > 0 else "less often"
    if change.finding and not in_a:
        word = "first seen"
    elif change.finding and not in_b:
        word = "not seen any more"
    doubt = "" if change.clear else ": may be chance"
    return (
        f"{change.before} → {change.after}  {what}: {word}, {in_a}/{of_a} → {in_b}/{of_b}, difference "
        f"{100 * change.value:+.2g} points, 95 % interval {100 * change.low:+.2g} to {100 * change.high:+.2g}{doubt}"
    )
