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
    examples,
    open_config,
    pick_subject,
    results_option,
    seed_option,
    slots_option,
    subjects_option,
    workspace_option,
)
from crashlab.cli.report_formats import open_output, report_format_option, tell_reports
from crashlab.decide.config import GateConfig
from crashlab.decide.duration import parse_duration
from crashlab.decide.evidence import GateReport
from crashlab.decide.gate import Gate, GateOptions
from crashlab.decide.planted import controls_of
from crashlab.decide.policy import Decision
from crashlab.diagnosis.autopsy.listener import CaseAutopsies
from crashlab.engine.casedir import write_atomically
from crashlab.engine.events import Emitter
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.errors import SubjectError, UsageError
from crashlab.report.ndjson import RECORDS, NdjsonWriter, open_records
from crashlab.report.progress import ProgressListener
from crashlab.report.text import print_gate


@click.command(
    short_help="May this program go live? GO, NO-GO or INCONCLUSIVE.",
    epilog=examples(
        "crashlab gate",
        "crashlab gate --subject app --budget 60s --format text --format json=gate.json",
        "crashlab gate --db state.db",
        exit_codes="0 GO · 1 NO-GO · 2 usage · 3 INCONCLUSIVE · 130 interrupted.",
    ),
)
@subjects_option
@click.option("--profile", default="", help="Lay the settings of [gate.profiles.NAME] over the gate's.")
@config_option
@seed_option
@budget_option
@slots_option
@click.option("--db", "database", metavar="PATH", help="Also check this existing database (a consistent copy of it).")
@results_option
@workspace_option
@report_format_option
def gate(
    subjects: tuple[str, ...],
    profile: str,
    config_path: Path | None,
    seed: int,
    budget: float | None,
    slots: int,
    database: str | None,
    results: Path | None,
    workspace: str | None,
    formats: tuple[str, ...],
) -> int:
    """Judge subjects: environment, controls, computed crash states, real kills, and one decision for each.

    Several subjects are judged one after another, each within the budget; the exit code is the worst. Every
    claim names its fault class: a kill is not a power loss.
    """
    output = open_output(formats)
    config = open_config(config_path)
    names = _unique(subjects) or (config.gate.subjects if not config.gate.subject else [])
    chosen = [(config.subject(name), config.gate_for(name, profile)) for name in names or [pick_subject(config, None)]]
    reports: list[GateReport] = []
    kept: list[Path] = []
    interrupted = False
    for subject, settings in chosen:
        records = make_run_directory(results or config.results_directory, "gate")
        options = GateOptions(
            seed=seed,
            seconds=budget or parse_duration(settings.budget),
            slots=slots,
            records=str(records),
            database=database or "",
            workspace=workspace or "",
            config="" if config_path is None else str(config_path),
        )
        emitter = Emitter()
        judged = Gate(
            subject,
            settings,
            options,
            emitter,
            planted=controls_of(config, subject.name),
            lanes=config.lanes_for(subject.name, settings),
        )
        report, interrupted = _judge(judged, emitter, records, settings, output)
        reports.append(report)
        kept.append(records)
        _tell(report, output, records)
        if interrupted:
            break
    _write(reports, output, kept)
    if interrupted:
        raise KeyboardInterrupt
    # NO-GO before INCONCLUSIVE before GO
    codes = {Decision(report.decision).exit_code for report in reports}
    return 1 if 1 in codes else max(codes)


def _unique(names: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(names))


def _judge(
    judged: Gate, emitter: Emitter, records: Path, settings: GateConfig, output: Output
) -> tuple[GateReport, bool]:
    interrupted = False
    try:
        with open_records(records) as stream:
            emitter.add(NdjsonWriter(stream))
            if output.stdout == "ndjson":
                emitter.add(NdjsonWriter(sys.stdout.buffer))
            with ProgressListener(console_for_people(stderr=True), settings.trials) as progress:
                emitter.add(progress)
                emitter.add(CaseAutopsies())
                try:
                    for _row in judged.rows():
                        pass
                except KeyboardInterrupt:
                    interrupted = True
            return judged.report(), interrupted
    except (UsageError, SubjectError):
        drop_run_directory(records, RECORDS)  # nothing was judged
        raise


def _tell(report: GateReport, output: Output, records: Path) -> None:
    """Tell people first: what fails to be written after that costs them nothing."""
    print_gate(console_for_people(stderr=not output.for_people), report)
    write_atomically(records / "report.json", msgspec.json.format(msgspec.json.encode(report)))


def _write(reports: list[GateReport], output: Output, kept: list[Path]) -> None:
    """Write what was asked for: one report is an object, several are a list."""
    data = msgspec.json.format(msgspec.json.encode(reports[0] if len(reports) == 1 else reports))
    if output.stdout == "json":
        click.echo(data)

    def make(name: str) -> bytes:
        if name == "json":
            return data + b"\n"
        if name == "ndjson":
            return b"".join((records / RECORDS).read_bytes() for records in kept)
        plain = Console(file=io.StringIO(), width=PLAIN_WIDTH)
        with plain.capture() as captured:
            for report in reports:
                print_gate(plain, report)
        return captured.get().encode(errors="backslashreplace")

    tell_reports(output, kept, make)
