"""`crashlab gate`: may this program go live?"""

import io
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from crashlab.cli.options import (
    PLAIN_WIDTH,
    Output,
    budget_option,
    config_option,
    console_for_people,
    format_option,
    open_config,
    pick_subject,
    results_option,
    seed_option,
    slots_option,
    subject_option,
    workspace_option,
)
from crashlab.decide.duration import parse_duration
from crashlab.decide.evidence import GateReport
from crashlab.decide.gate import Gate, GateOptions
from crashlab.decide.policy import Decision
from crashlab.engine.casedir import write_atomically
from crashlab.engine.events import Emitter
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.errors import SubjectError, UsageError
from crashlab.report.ndjson import RECORDS, NdjsonWriter, open_records
from crashlab.report.progress import ProgressListener
from crashlab.report.text import print_gate


@click.command(
    epilog="Exit codes: 0 GO · 1 NO-GO · 2 usage · 3 INCONCLUSIVE · 130 interrupted.  "
    "Example: crashlab gate --subject store --budget 60s --format json=gate.json"
)
@subject_option
@config_option
@seed_option
@budget_option
@slots_option
@click.option("--db", "database", metavar="PATH", help="Also check this existing database (a consistent copy of it).")
@results_option
@workspace_option
@format_option
def gate(
    subject: str | None,
    config_path: Path | None,
    seed: int,
    budget: float | None,
    slots: int,
    database: str | None,
    results: Path | None,
    workspace: str | None,
    formats: tuple[str, ...],
) -> int:
    """Judge a subject: environment, controls, real kills, and one decision.

    The evidence is about process death (SIGKILL, terminal hang-up). A kill is not a power loss.
    """
    output = Output(formats)
    config = open_config(config_path)
    chosen = config.subject(pick_subject(config, subject))
    records = make_run_directory(results or config.results_directory, "gate")
    options = GateOptions(
        seed=seed,
        seconds=budget or parse_duration(config.gate.budget),
        slots=slots,
        records=str(records),
        database=database or "",
        workspace=workspace or "",
        config="" if config_path is None else str(config_path),
    )
    emitter = Emitter()
    judged = Gate(chosen, config.gate, options, emitter)
    interrupted = False
    try:
        with open_records(records) as stream:
            emitter.add(NdjsonWriter(stream))
            if output.stdout == "ndjson":
                emitter.add(NdjsonWriter(sys.stdout.buffer))
            with ProgressListener(console_for_people(stderr=True), config.gate.trials) as progress:
                emitter.add(progress)
                try:
                    for _row in judged.rows():
                        pass
                except KeyboardInterrupt:
                    interrupted = True
            report = judged.report()
    except (UsageError, SubjectError):
        drop_run_directory(records, RECORDS)  # nothing was judged
        raise
    _write(report, output, records)
    if interrupted:
        raise KeyboardInterrupt
    return Decision(report.decision).exit_code


def _write(report: GateReport, output: Output, records: Path) -> None:
    """Tell people first: what fails to be written after that costs them nothing."""
    data = msgspec.json.format(msgspec.json.encode(report))
    print_gate(console_for_people(stderr=not output.for_people), report)
    if output.stdout == "json":
        click.echo(data)
    write_atomically(records / "report.json", data)

    def make(name: str) -> bytes:
        if name == "json":
            return data + b"\n"
        if name == "ndjson":
            return (records / RECORDS).read_bytes()
        plain = Console(file=io.StringIO(), width=PLAIN_WIDTH)
        with plain.capture() as captured:
            print_gate(plain, report)
        return captured.get().encode(errors="backslashreplace")

    output.save(make)
