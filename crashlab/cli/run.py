"""`crashlab run`: trials of one subject under faults given by their text."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from crashlab.cli.options import (
    Output,
    budget_option,
    config_option,
    console_for_people,
    format_option,
    open_config,
    param_option,
    parse_params,
    pick_subject,
    results_option,
    seed_option,
    slots_option,
    subject_option,
    workspace_option,
)
from crashlab.decide.evidence import campaign_row
from crashlab.decide.statistics import format_rate
from crashlab.engine.campaign import Limits, Tally, run_campaign
from crashlab.engine.environment import environment_stamp
from crashlab.engine.events import Emitter
from crashlab.engine.road import RealRoad
from crashlab.engine.rundir import make_run_directory
from crashlab.engine.workspace import Workspace
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.finding import Verdict
from crashlab.model.seed import subseed
from crashlab.report.ndjson import NdjsonWriter, open_records
from crashlab.report.progress import ProgressListener

TRIALS_MAX = 1_000_000


@click.command(
    epilog="Exit codes: 0 no failures · 1 failures · 2 usage · 3 no evidence · 130 interrupted.  "
    "Example: crashlab run --fault 'kill@phase=commit#3 delay=40us' --fault 'hangup@ack#5 on=handle' --trials 200"
)
@subject_option
@config_option
@click.option(
    "--fault", "faults", multiple=True, default=("kill@ack#10",), show_default=True, help="A fault's text form."
)
@click.option("--trials", type=click.IntRange(1, TRIALS_MAX), default=100, show_default=True, help="Trials in all.")
@param_option
@seed_option
@budget_option
@slots_option
@results_option
@workspace_option
@format_option
def run(
    subject: str | None,
    config_path: Path | None,
    faults: tuple[str, ...],
    trials: int,
    params: tuple[str, ...],
    seed: int,
    budget: float | None,
    slots: int,
    results: Path | None,
    workspace: str | None,
    formats: tuple[str, ...],
) -> int:
    """Run trials of a subject under one or more faults and judge each."""
    output = Output(formats)
    config = open_config(config_path)
    chosen = config.subject(pick_subject(config, subject))
    parsed = [parse_fault(text) for text in faults]
    given = parse_params(params)
    slots = slots or (os.cpu_count() or 2) + 1
    records = make_run_directory(results or config.results_directory, "run")
    emitter = Emitter()
    tally = Tally()
    with (
        open_records(records) as stream,
        Workspace(workspace) as space,
        ThreadPoolExecutor(slots) as executor,
        ProgressListener(Console(stderr=True), trials) as progress,
    ):
        emitter.add(NdjsonWriter(stream))
        if output.stdout == "ndjson":
            emitter.add(NdjsonWriter(sys.stdout.buffer))
        emitter.add(progress)
        road = RealRoad(chosen, space, keep=records / "cases", environment=environment_stamp(space.root))
        try:
            road.declared_params()
            cases = _cases(chosen.name, seed, [str(fault) for fault in parsed], given, trials)
            limits = Limits(seconds=budget or 3600.0, slots=slots)
            run_campaign(road, cases, executor, limits, emitter, check_room=space.check_room, tally=tally)
        finally:
            road.close()
    return _report(tally, output, records, chosen.name)


def _cases(subject: str, seed: int, faults: list[str], params: dict[str, Param], trials: int) -> Iterator[Case]:
    for number in range(trials):
        yield Case(subject, subseed(seed, "case", number), faults[number % len(faults)], params)


def _report(tally: Tally, output: Output, records: Path, subject: str) -> int:
    row = campaign_row("run", subject, "", tally.outcomes)
    if output.stdout == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(row)))
    for path, name in output.files.items():
        path.write_bytes(
            (records / "records.ndjson").read_bytes() if name == "ndjson" else msgspec.json.encode(row) + b"\n"
        )
    console = console_for_people(stderr=not output.for_people)
    if output.stdout != "ndjson":
        _print(console, tally, records)
    if tally.count(Verdict.FAIL):
        return 1
    return 0 if row.judged and not row.errors else 3


def _print(console: Console, tally: Tally, records: Path) -> None:
    failures = tally.count(Verdict.FAIL)
    judged = tally.count(Verdict.PASS) + failures
    console.print(f"{format_rate(failures, judged)} of the judged trials failed ({tally.stop.value})", highlight=False)
    for verdict in (Verdict.MISSED, Verdict.ERROR):
        if tally.count(verdict):
            text = next(o.error or o.fired for o in tally.outcomes if o.verdict is verdict)
            console.print(f"{verdict.value} {tally.count(verdict)}: {escape(text)}", highlight=False)
    if tally.phases:
        hits = "  ".join(f"{phase} {count}" for phase, count in sorted(tally.phases.items()))
        console.print(f"ended in: {hits}", highlight=False)
    for identity, count in sorted(tally.identities.items()):
        example = next(o for o in tally.outcomes if any(f.identity == identity for f in o.findings))
        finding = next(f for f in example.findings if f.identity == identity)
        console.print(f"FAIL {escape(str(identity))} in {count} trials", style="bold red", highlight=False)
        console.print(f"  fault      {escape(example.case.fault)}  seed {example.case.seed}", highlight=False)
        console.print(f"  seen       {escape(finding.message)}", highlight=False)
        if example.case_dir:
            console.print(f"  replay     crashlab replay {escape(example.case_dir)}", highlight=False, soft_wrap=True)
    console.print(f"records: {escape(str(records))}", highlight=False, soft_wrap=True)
