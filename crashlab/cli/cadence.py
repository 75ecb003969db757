"""`crashlab cadence`: what is at risk outside the main file, at which checkpoint cadence, at what price?"""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from crashlab.cli.options import (
    PLAIN_WIDTH,
    Output,
    budget_option,
    config_option,
    console_for_people,
    examples,
    open_config,
    pick_subject,
    results_option,
    seed_option,
    workspace_option,
)
from crashlab.decide.policy import Decision
from crashlab.decide.study.results import Kind, StudyResult
from crashlab.decide.study.run import Study, StudyOptions
from crashlab.engine.casedir import write_atomically
from crashlab.engine.events import Emitter
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.errors import SubjectError, UsageError
from crashlab.model.event import Event
from crashlab.report.cadence import print_study, study_json, study_markdown
from crashlab.report.ndjson import RECORDS, NdjsonWriter, open_records

FORMATS = ("text", "json", "markdown", "ndjson")
BUDGET_S = 300.0
NOTHING_MEASURED = Decision.INCONCLUSIVE.exit_code
AXES = {
    "cadence": "Cadences: seconds, off, or every-N for N writes.",
    "autocheckpoint": "SQLite's auto-checkpoint, in frames; 0 for off.",
    "mode": "PASSIVE, TRUNCATE.",
    "synchronous": "FULL, NORMAL, OFF.",
    "reader": "none, polling, pinned, or what the subject takes.",
    "rate": "Writes a second.",
    "size": "Rows that are there before the first write.",
}
SPELLED = {"synchronous": ("--sync", "--synchronous")}
F = TypeVar("F", bound=Callable[..., Any])


def _axis_options(command: F) -> F:
    for name, text in reversed(AXES.items()):
        command = click.option(*SPELLED.get(name, (f"--{name}",)), name, metavar="V1,V2,…", help=text)(command)
    return command


@click.command(
    short_help="What is at risk outside the main file, at which checkpoint cadence?",
    epilog=examples(
        "crashlab cadence",
        "crashlab cadence app --cadence off,every-5,every-20 --rounds 0",
        "crashlab cadence --rounds 1 --budget 60s --format markdown=cadence.md",
        exit_codes="0 the study was made · 2 usage · 3 nothing was measured · 130 interrupted.",
    ),
)
@click.argument("subject", required=False)
@_axis_options
@click.option("--grid", "grids", multiple=True, metavar="NAME=V1,V2,…", help="The same for any parameter; repeatable.")
@click.option("--full", is_flag=True, help="The product of all axes, not the default grid: hours.")
@click.option(
    "--rounds",
    type=click.IntRange(0, 100),
    default=3,
    show_default=True,
    help="Rounds of each cell in real time; 0 for none.",
)
@config_option
@seed_option
@budget_option
@click.option("--workers", type=click.IntRange(0, 256), default=0, help="Recorded runs at once (default: cores).")
@click.option(
    "--disk",
    type=click.Path(file_okay=False, exists=True),
    help="Where runs in real time go (default: beside the results).",
)
@results_option
@workspace_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME[=PATH]",
    help="text, json, markdown or ndjson; repeatable.",
)
def cadence(
    subject: str | None,
    grids: tuple[str, ...],
    full: bool,
    rounds: int,
    config_path: Path | None,
    seed: int,
    budget: float | None,
    workers: int,
    disk: str | None,
    results: Path | None,
    workspace: str | None,
    formats: tuple[str, ...],
    **axes: str | None,
) -> int:
    """Study SUBJECT: exposure at the fault for each cadence, and what a checkpoint costs.

    The default grid varies each axis that the subject declares, and those pairs that change each other's effect.
    Any of the options for axes chooses cells instead: the product of all values given, everything else at the
    subject's base. Exposure is on a stepped clock and the same for the same seed; latencies are in real time, on
    a real disk.
    """
    output = Output(formats, FORMATS)
    config = open_config(config_path)
    chosen, also = _chosen(axes, grids)
    name = pick_subject(config, subject)
    where = results or config.results_directory
    options = StudyOptions(
        seed=seed,
        seconds=BUDGET_S if budget is None else budget,
        workers=workers,
        workspace=workspace or "",
        chosen=chosen,
        also=also,
        full=full,
        rounds=rounds,
    )
    with Study(config.subject(name), config.study_for(name), options) as study:
        study.plan()
        records = make_run_directory(where, "cadence")
        try:
            found = _run(study, records, output, disk or str(where))
        except (UsageError, SubjectError):
            drop_run_directory(records, RECORDS)
            raise
    print_study(console_for_people(stderr=not output.for_people), found)
    click.echo(f"Records: {records}", err=not output.for_people)
    write_atomically(records / "study.json", study_json(found))
    if output.stdout in ("json", "markdown"):
        click.echo(_encoded(output.stdout, found, records), nl=False)
    output.save(lambda form: _encoded(form, found, records))
    if found.stop == "interrupted":
        raise KeyboardInterrupt
    return 0 if found.cells or found.latencies else NOTHING_MEASURED


def _chosen(axes: dict[str, str | None], grids: tuple[str, ...]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The values given for each axis, and the names of parameters that are axes by `--grid` alone."""
    chosen = {name: _values(f"--{name}", text) for name, text in axes.items() if text is not None}
    also = []
    for grid in grids:
        name, equals, text = grid.partition("=")
        if not (name and equals):
            raise UsageError(f"--grid {grid!r}: expected NAME=V1,V2")
        if name in chosen:
            raise UsageError(f"--grid {name}: its values are given twice")
        chosen[name] = _values(f"--grid {name}", text)
        if name not in AXES:
            also.append(name)
    return chosen, tuple(also)


def _values(option: str, text: str) -> tuple[str, ...]:
    values = tuple(value.strip() for value in text.split(","))
    if not all(values):
        raise UsageError(f"{option} {text!r}: expected values separated by commas")
    return values


def _run(study: Study, records: Path, output: Output, disk: str) -> StudyResult:
    with open_records(records) as stream:
        emitter = Emitter(NdjsonWriter(stream))
        if output.stdout == "ndjson":
            emitter.add(NdjsonWriter(sys.stdout.buffer))
        emitter.add(_Progress(console_for_people(stderr=True)))
        return study.run(emitter, disk)


class _Progress:
    """One line that is written over, on a terminal; nothing elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._done = self._planned = 0

    def __call__(self, event: Event) -> None:
        if not self._console.is_terminal:
            return
        if event.kind == Kind.STARTED:
            self._planned = int(event.data["cells"])
        elif event.kind == Kind.CELL:
            self._done += 1
        if event.kind == Kind.FINISHED:
            self._console.print(" " * 60, end="\r")
        elif self._done >= self._planned:
            self._console.print("in real time …".ljust(60), end="\r")
        else:
            self._console.print(f"stepped cells: {self._done} of {self._planned}".ljust(60), end="\r")


def _encoded(form: str, study: StudyResult, records: Path) -> bytes:
    if form == "json":
        return study_json(study)
    if form == "markdown":
        return study_markdown(study).encode(errors="backslashreplace")
    if form == "ndjson":
        return (records / RECORDS).read_bytes()
    plain = Console(file=io.StringIO(), width=PLAIN_WIDTH)
    with plain.capture() as captured:
        print_study(plain, study)
    return captured.get().encode(errors="backslashreplace")
