"""`crashlab run`: trials of one subject under faults given by their text."""

import io
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console
from rich.text import Text

from crashlab.cli.options import (
    PLAIN_WIDTH,
    Output,
    budget_option,
    config_option,
    console_for_people,
    examples,
    format_option,
    open_config,
    param_option,
    parse_params,
    pick_subject,
    results_option,
    seed_option,
    subject_option,
    workspace_option,
)
from crashlab.cli.program_options import parse_program, program_arguments
from crashlab.cli.reduce import reduce_command
from crashlab.cli.run_kills import kills_options, run_kills
from crashlab.cli.run_program import program_options, run_program
from crashlab.decide.evidence import campaign_row
from crashlab.decide.gate import PARTIAL
from crashlab.decide.params import check_params, typed_params
from crashlab.decide.statistics import format_rate
from crashlab.diagnosis.autopsy.listener import TEXT as AUTOPSY
from crashlab.diagnosis.autopsy.listener import CaseAutopsies
from crashlab.engine.campaign import Limits, StopReason, Tally, run_campaign
from crashlab.engine.casedir import replay_command
from crashlab.engine.environment import environment_stamp
from crashlab.engine.events import Emitter
from crashlab.engine.moments import require_fit
from crashlab.engine.program.kills.moments import parse_hit
from crashlab.engine.reduce import parsed_state
from crashlab.engine.road import RealRoad, Road
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.engine.subject import Subject
from crashlab.engine.timeline import annotate_case
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import SubjectError, UsageError
from crashlab.faults.crash_state import CrashStateFault
from crashlab.faults.fault import Fault, parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.event import EventKind
from crashlab.model.finding import Verdict
from crashlab.model.outcome import Outcome
from crashlab.model.seed import subseed
from crashlab.report.ndjson import RECORDS, NdjsonWriter, open_records
from crashlab.report.plain import one_line, printable
from crashlab.report.progress import ProgressListener

TRIALS = 100
TRIALS_MAX = 1_000_000
_OF_SUBJECTS = ("subject", "config_path", "params")
_OF_STATES = ("states", "restarts", "via")
_OF_TRIALS = ("trials", "budget", "slots")
_OF_PROGRAM = ("ack_on", "restart", "maps", "timeout")


@click.command(
    short_help="Trials of a subject under faults; or any program, behind --.",
    epilog=examples(
        "crashlab run",
        "crashlab run --fault 'kill@phase=commit#3 delay=40us' --fault 'hangup@ack#5 on=handle' --trials 200",
        "crashlab run --subject app --param commit_every=10 --fault 'kill@ack#17' --trials 20",
        "crashlab run -- python app.py",
        "crashlab run --ack-on 'done (\\d+)' --restart 'python app.py --check' -- python app.py",
        "crashlab run --fault kill --trials 40 --ack-on 'done (\\d+)' -- python app.py",
        exit_codes="0 no failures · 1 failures · 2 usage · 3 no evidence · 130 interrupted.",
    ),
)
@subject_option
@config_option
@click.option(
    "--fault", "faults", multiple=True, default=("kill@ack#10",), show_default=True, help="A fault's text form."
)
@click.option(
    "--trials",
    type=click.IntRange(1, TRIALS_MAX),
    show_default="100; 1 for each fault if all are computed crash states",
    help="Trials in all.",
)
@param_option
@seed_option
@budget_option
@click.option(
    "--slots",
    "--jobs",
    "slots",
    type=click.IntRange(0, 256),
    default=0,
    help="Trials in flight at once (default: cores + 1; of a COMMAND: cores).",
)
@results_option
@workspace_option
@format_option
@program_arguments
def run(
    subject: str | None,
    config_path: Path | None,
    faults: tuple[str, ...],
    trials: int | None,
    params: tuple[str, ...],
    seed: int,
    budget: float | None,
    slots: int,
    results: Path | None,
    workspace: str | None,
    formats: tuple[str, ...],
    command: tuple[str, ...],
    **of_command: Any,
) -> int:
    """Run trials of a subject under one or more faults and judge each; or put COMMAND under the lab, unmodified.

    COMMAND, a program behind `--`, runs once in a private copy of the working directory and is recorded.
    Kills and power losses at every point are computed, and every database must then be as after one of its commits.
    With --fault kill (term, hup, int) COMMAND is any program, run and killed for real, --trials times.
    """
    output = Output(formats)
    if command:
        context = click.get_current_context()
        if context.get_parameter_source("faults") is ParameterSource.COMMANDLINE:
            _only_beside(context, _OF_SUBJECTS + _OF_STATES, "real kills of a COMMAND do not take it")
            return run_kills(
                kills_options(
                    tuple(parse_hit(text) for text in faults),
                    parse_program(command, **{name: of_command[name] for name in _OF_PROGRAM}),
                    command,
                    of_command["restart"],
                    of_command["maps"],
                    trials=trials,
                    seed=seed,
                    seconds=budget,
                    jobs=slots,
                    copy_max=of_command["copy_max"],
                    workspace=workspace,
                    results=results,
                ),
                output,
            )
        _only_beside(context, _OF_SUBJECTS + _OF_TRIALS, "a COMMAND behind -- takes it with --fault kill alone")
        options = program_options(command, seed=seed, workspace=workspace, results=results, **of_command)
        return run_program(options, output)
    config = open_config(config_path)
    chosen = config.subject(pick_subject(config, subject))
    parsed = [parse_fault(text) for text in faults]
    computed = all(isinstance(fault, CrashStateFault) for fault in parsed)
    trials = trials or (len(parsed) if computed else TRIALS)
    texts = parse_params(params)
    slots = slots or (os.cpu_count() or 2) + 1
    records = make_run_directory(results or config.results_directory, "run")
    again = "" if config_path is None else str(config_path)
    emitter = Emitter()
    tally = Tally()
    interrupted = False
    try:
        with (
            open_records(records) as stream,
            Workspace(workspace) as space,
            ThreadPoolExecutor(slots) as executor,
            ProgressListener(console_for_people(stderr=True), trials, "trials") as progress,
        ):
            emitter.add(NdjsonWriter(stream))
            if output.stdout == "ndjson":
                emitter.add(NdjsonWriter(sys.stdout.buffer))
            emitter.add(progress)
            emitter.add(CaseAutopsies())
            # The cases carry every parameter, so the road needs none of the subject's own.
            bare = msgspec.structs.replace(chosen, params={})
            stamp = environment_stamp(space.root)
            road = _Roads(bare, space, records / "cases", stamp)
            try:
                given = _params(chosen, road.real, texts)
                emitter.emit(
                    EventKind.RUN_STARTED,
                    command="run",
                    subject=chosen.name,
                    seed=seed,
                    faults=[str(fault) for fault in parsed],
                    params=given,
                    trials=trials,
                    environment=stamp,
                    config=again,
                )
                cases = _cases(chosen.name, seed, parsed, given, trials)
                for case in _cases(chosen.name, seed, parsed, given, min(trials, len(parsed))):
                    road.require_fit(case)
                limits = Limits(seconds=budget or 3600.0, slots=slots)
                run_campaign(road, cases, executor, limits, emitter, check_room=space.check_room, tally=tally)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                road.close()
        for outcome in tally.outcomes:
            if outcome.case_dir:
                annotate_case(Path(outcome.case_dir))
    except (UsageError, SubjectError):
        drop_run_directory(records, RECORDS)
        raise
    code = _report(tally, output, records, chosen.name, again)
    if interrupted:
        raise KeyboardInterrupt
    return code


def _only_beside(context: click.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse options that do not go with this form."""
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = {"config_path": "config", "params": "param", "slots": "jobs"}.get(name, name)
            said = "is about a subject of crashlab.toml; a COMMAND behind -- does not take it"
            raise UsageError(f"--{option} {said if name in _OF_SUBJECTS else f'is given: {why}'}")


def _params(subject: Subject, road: RealRoad, texts: dict[str, str]) -> dict[str, Param]:
    declared = road.declared_params()
    own = {name: (value,) for name, value in subject.params.items()}
    check_params(subject.name, declared, own, f"subjects.{subject.name}.params")
    return {**subject.params, **typed_params(subject.name, declared, texts, "--param")}


class _Roads:
    """Both roads as one: computed crash states go to the trace road, everything else to real processes."""

    def __init__(self, subject: Subject, space: Workspace, keep: Path, stamp: dict[str, str]) -> None:
        self.real = RealRoad(subject, space, keep=keep, environment=stamp)
        self._trace = TraceRoad(subject, space, keep=keep, environment=stamp)

    def require_fit(self, case: Case) -> None:
        """Record a computed state's run and refuse a state that is none of it."""
        state = parsed_state(case)
        if state is not None:
            require_fit(self._trace.recording(case).trace(), state)

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial where it belongs."""
        road: Road = self.real if parsed_state(case) is None else self._trace
        return road.run(case, trial_id, keep=keep)

    def close(self) -> None:
        """End every process."""
        try:
            self.real.close()
        finally:
            self._trace.close()


def _cases(subject: str, seed: int, faults: list[Fault], params: dict[str, Param], trials: int) -> Iterator[Case]:
    """Each fault in turn. Computed states of one round share a seed, so that they are states of one run."""
    for number in range(trials):
        fault = faults[number % len(faults)]
        place = number // len(faults) if isinstance(fault, CrashStateFault) else number
        yield Case(subject, subseed(seed, "case", place), str(fault), params)


def _report(tally: Tally, output: Output, records: Path, subject: str, config: str) -> int:
    row = campaign_row("run", subject, "", tally.outcomes)
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

    output.save(make)
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
    if tally.phases:
        hits = "  ".join(f"{phase} {count}" for phase, count in sorted(tally.phases.items()))
        say(f"ended in: {hits}")
    for identity, count in sorted(tally.identities.items()):
        examples = [o for o in tally.outcomes if any(f.identity == identity for f in o.findings)]
        example = next((o for o in examples if o.case_dir), examples[0])
        finding = next(f for f in example.findings if f.identity == identity)
        say(f"FAIL {identity} in {count} trials", "bold red")
        say(f"  fault      {example.case.fault}  seed {example.case.seed}")
        say(f"  seen       {one_line(finding.message)}")
        if example.case_dir:
            if os.path.exists(autopsied := os.path.join(example.case_dir, AUTOPSY)):
                say(f"  autopsy    {autopsied}")
            say(f"  replay     {replay_command(example.case_dir, config)}")
            if parsed_state(example.case) is not None:
                say(f"  reduce     {reduce_command(example.case_dir, config)}")
    say(f"records: {records}")
