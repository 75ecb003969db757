"""A cadence study as text for people, as Markdown and as JSON; and made again from its records."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from crashlab.decide.study.results import (
    CellResult,
    Effect,
    Kind,
    LatencyResult,
    Recommendation,
    StudyResult,
)
from crashlab.errors import RecordError
from crashlab.model.event import Event
from crashlab.report.cadence_tables import Table, answer_lines, comparison_lines, head_lines, study_tables
from crashlab.report.plain import one_line, printable

__all__ = ["print_study", "study_from_events", "study_json", "study_markdown"]

T = TypeVar("T")


def print_study(console: Console, study: StudyResult) -> None:
    """Print a study: what, where, the tables, the comparisons, the advice last."""
    for number, line in enumerate(head_lines(study)):
        console.print(Text(printable(line), style="" if number else "bold"))
    for table in study_tables(study):
        console.print()
        console.print(Text(printable(table.title), style="bold"))
        console.print(Text(printable(table.note), style="dim"))
        console.print(_rich(table))
    for heading, lines in [("Comparisons", comparison_lines(study)), *answer_lines(study), *_left_out(study)]:
        if lines:
            console.print()
            console.print(Text(printable(heading), style="bold"))
            for line in lines:
                _print_item(console, one_line(line))


def _print_item(console: Console, line: str) -> None:
    width = max(20, console.width - 1)
    for part in textwrap.wrap(line, width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False):
        console.print(Text(part, overflow="ignore", no_wrap=True))


def _rich(table: Table) -> RichTable:
    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(table.head):
        shown.add_column(printable(name), justify="left" if number == 0 else "right")
    for row in table.rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    return shown


def study_markdown(study: StudyResult) -> str:
    """Return a study as Markdown."""
    return "\n".join(_markdown(study)) + "\n"


def _markdown(study: StudyResult) -> Iterator[str]:
    first, *others = head_lines(study)
    yield f"## {_escaped(first)}"
    yield ""
    yield "  \n".join(_escaped(line) for line in others)
    for heading, lines in answer_lines(study):
        yield from ("", f"### {_escaped(heading)}", "")
        yield from (f"- {_escaped(line)}" for line in lines)
    for table in study_tables(study):
        yield from ("", f"### {_escaped(table.title)}", "", f"{_escaped(table.note)}.", "")
        yield f"| {' | '.join(map(_escaped, table.head))} |"
        yield f"|{'---|' * len(table.head)}"
        yield from (f"| {' | '.join(map(_escaped, row))} |" for row in table.rows)
    for heading, lines in [("Comparisons", comparison_lines(study)), *_left_out(study)]:
        if lines:
            yield from ("", f"### {heading}", "")
            yield from (f"- {_escaped(line)}" for line in lines)


def _escaped(text: str) -> str:
    plain = one_line(text)
    for character in "\\|<>*_`[]":
        plain = plain.replace(character, f"\\{character}")
    return plain


def _left_out(study: StudyResult) -> list[tuple[str, list[str]]]:
    cells: dict[str, list[str]] = {}
    told = [(each.cell, each.remarks) for each in study.cells] + [(each.cell, each.remarks) for each in study.latencies]
    for cell, remarks in told:
        for remark in remarks:
            cells.setdefault(remark, []).append(str(cell))
    lines = [f"{found[0] if len(found) == 1 else f'{len(found)} cells'}: {line}" for line, found in cells.items()]
    return [("Left out", list(study.left_out)), ("Remarks", lines)]


def study_json(study: StudyResult) -> bytes:
    """Return a study as JSON, with every figure."""
    return msgspec.json.format(msgspec.json.encode(study)) + b"\n"


def study_from_events(events: Iterable[Event]) -> StudyResult:
    """Make a study again from its events, also from those of one that was cut off.

    Raises:
        RecordError: there is no `study.started` among them, or one has another form.
    """
    started: dict[str, Any] | None = None
    finished: dict[str, Any] = {"seconds": 0.0, "stop": "interrupted", "left_out": ()}
    cells: list[CellResult] = []
    latencies: list[LatencyResult] = []
    effects: list[Effect] = []
    advice: Recommendation | None = None
    for event in events:
        if event.kind == Kind.STARTED:
            started = event.data
        elif event.kind == Kind.CELL:
            cells.append(_as(event, CellResult))
        elif event.kind == Kind.LATENCY:
            latencies.append(_as(event, LatencyResult))
        elif event.kind == Kind.EFFECT:
            effects.append(_as(event, Effect))
        elif event.kind == Kind.RECOMMENDATION:
            advice = _as(event, Recommendation)
        elif event.kind == Kind.FINISHED:
            finished = event.data
    if started is None:
        raise RecordError("these are not the records of a cadence study: there is no study.started among them")
    found = {
        **{name: started.get(name) for name in ("subject", "seed", "axes", "base", "environment", "disk", "designs")},
        **{name: finished.get(name) for name in ("seconds", "stop", "left_out")},
    }
    try:
        plain = {"cells": (), "latencies": (), "effects": (), "recommendation": None}
        study = msgspec.convert({**found, **plain}, StudyResult)
    except msgspec.ValidationError as error:
        raise RecordError(f"the records of a cadence study have another form: {error}") from None
    return msgspec.structs.replace(
        study, cells=tuple(cells), latencies=tuple(latencies), effects=tuple(effects), recommendation=advice
    )


def _as(event: Event, kind: type[T]) -> T:
    try:
        return msgspec.convert(event.data, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"event {event.seq} ({event.kind}) has another form: {error}") from None
