"""What `crashlab run` of a subject tells in the end."""

import io
import os
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.text import Text

from crashlab.cli.options import PLAIN_WIDTH, Output, console_for_people
from crashlab.cli.reduce import reduce_command
from crashlab.cli.report_formats import tell_reports
from crashlab.decide.evidence import campaign_row
from crashlab.decide.gate import PARTIAL
from crashlab.decide.statistics import format_rate
from crashlab.diagnosis.autopsy.listener import TEXT as AUTOPSY
from crashlab.engine.campaign import StopReason, Tally
from crashlab.engine.casedir import replay_command
from crashlab.engine.reduce import parsed_state
from crashlab.engine.results.read import RECORDS, Records
from crashlab.model.finding import Verdict
from crashlab.report.plain import one_line, printable


def report_run(tally: Tally, output: Output, records: Path, subject: str, config: str) -> int:
    """Tell people and machines; return the exit code. The row is made of all that the records hold."""
    row = campaign_row("run", subject, "", Records(records).outcomes())
    data = msgspec.json.format(msgspec.json.encode(row))
    _print(console_for_people(stderr=not output.for_people), tally, records, config)
    if output.stdout == "json":
        click.echo(data)

    def make(name: str) -> bytes:
        if name == "json":
            return data + b"\n"
        if name == "ndjson":
            return (records / RECORDS).read_bytes()
        plain = Console(file=io.StringIO(), width=PLAIN_WIDTH)
        with plain.capture() as captured:
            _print(plain, tally, records, config)
        return captured.get().encode(errors="backslashreplace")

    tell_reports(output, [records], make)
    if tally.count(Verdict.FAIL):
        return 1
    return 0 if row.judged and not row.errors and tally.stop is not StopReason.DISK_FULL else 3


def _print(console: Console, tally: Tally, records: Path, config: str) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(Text(printable(text), style=style), soft_wrap=True)

    failures = tally.count(Verdict.FAIL)
    judged = tally.count(Verdict.PASS) + failures
    partial = "partial results: " if tally.stop in PARTIAL else ""
    say(f"{partial}{format_rate(failures, judged)} of the judged trials failed ({tally.stop.value})")
    for verdict in (Verdict.MISSED, Verdict.ERROR):
        if tally.count(verdict):
            text = next(o.error or o.fired for o in tally.outcomes if o.verdict is verdict)
            say(f"{verdict.value} {tally.count(verdict)}: {text.strip()}")
    if tally.states.generated:
        say(str(tally.states))
    if tally.phases:
        hits = "  ".join(f"{phase} {count}" for phase, count in sorted(tally.phases.items()))
        say(f"ended in: {hits}")
    for identity, count in sorted(tally.identities.items()):
        examples = [o for o in tally.outcomes if any(f.identity == identity for f in o.findings)]
        example = next((o for o in examples if o.case_dir), examples[0])
        finding = next(f for f in example.findings if f.identity == identity)
        say(f"FAIL {identity} in {count} trials", "bold red")
        say(f"  fault      {example.case.fault}  seed {example.case.seed}")
        state = str(finding.evidence.get("state", ""))  # of a batch, the one that shows it
        if state:
            say(f"  state      {state}")
        say(f"  seen       {one_line(finding.message)}")
        case_dir = str(finding.evidence.get("case_dir", "")) or example.case_dir
        if case_dir:
            if os.path.exists(autopsied := os.path.join(case_dir, AUTOPSY)):
                say(f"  autopsy    {autopsied}")
            say(f"  replay     {replay_command(case_dir, config)}")
            if state or parsed_state(example.case) is not None:
                say(f"  reduce     {reduce_command(case_dir, config)}")
    say(f"records: {records}")
