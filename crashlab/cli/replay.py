"""`crashlab replay`: run a saved case again, k times."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec

from crashlab.cli.engines import engine_option, parse_engine
from crashlab.cli.options import (
    Output,
    config_option,
    console_for_people,
    examples,
    format_option,
    open_config,
    slots_option,
    workspace_option,
)
from crashlab.cli.program_options import parse_program, replay_arguments
from crashlab.cli.replay_killed import replay_killed
from crashlab.cli.replay_program import replay_program
from crashlab.cli.schedule_cases import is_schedule_case, replay_schedule, require_no_command
from crashlab.decide.gate import PARTIAL
from crashlab.decide.params import check_params
from crashlab.engine.campaign import Limits, Tally
from crashlab.engine.carried import carried_trace, recorded_again
from crashlab.engine.casedir import load_case
from crashlab.engine.events import Emitter
from crashlab.engine.moments import require_fit
from crashlab.engine.program.case import PROGRAM_CASE
from crashlab.engine.program.kills.case import KILLED_CASE
from crashlab.engine.reduce import parsed_state
from crashlab.engine.replay import Replayed, summarise_replay
from crashlab.engine.replay import replay as replay_case
from crashlab.engine.road import RealRoad
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.model.event import Event
from crashlab.report.ndjson import NdjsonWriter
from crashlab.report.plain import one_line
from crashlab.report.progress import ProgressListener


@click.command(
    short_help="Run a saved case again.",
    epilog=examples(
        "crashlab replay .crashlab/runs/run-0001/cases/a8df4d04bd32",
        "crashlab replay .crashlab/runs/run-0001/cases/a8df4d04bd32 --times 100",
        "crashlab replay .crashlab/runs/program-0001/cases/0 -- python app.py --check",
        exit_codes="0 not reproduced · 1 reproduced · 2 usage · 3 the fault never fired.",
    ),
)
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--times",
    type=click.IntRange(1, 100_000),
    show_default="20; 1 for a computed crash state, which replays exactly",
    help="How often.",
)
@config_option
@slots_option
@engine_option
@workspace_option
@format_option
@replay_arguments
def replay(
    case: Path,
    times: int | None,
    config_path: Path | None,
    slots: int,
    engine: str,
    workspace: str | None,
    formats: tuple[str, ...],
    command: tuple[str, ...],
    restart: str,
    maps: tuple[str, ...],
) -> int:
    """Replay a case directory (or its case.json).

    A real kill is not deterministic, so the case runs several times and the answer is k of n. A computed
    crash state is taken from the recording that the case carries. The case names a subject; its code is the
    one that your own crashlab.toml gives for that name. A case of `crashlab run -- COMMAND` names none: its state
    is judged from its recording, or COMMAND is restarted from it; a case of --fault kill kills COMMAND again.
    A schedule is run again call for call.
    """
    output = Output(formats)
    if (case / KILLED_CASE).is_file():
        program = parse_program(command, restart=restart, maps=maps)
        return replay_killed(case, program, times or 20, slots, workspace, output)
    if restart or maps:
        raise UsageError("--restart and --map are for a case of `crashlab run --fault kill -- COMMAND`")
    if (case / PROGRAM_CASE).is_file():
        return replay_program(case, command, workspace)
    if is_schedule_case(case):
        require_no_command(case, command)
        return replay_schedule(case, times, config_path, parse_engine(engine), workspace, output)
    if command:
        raise UsageError(f"case {case} is of a subject of crashlab.toml; only a case of a program takes a COMMAND")
    loaded = load_case(case)
    state = parsed_state(loaded)
    recording, trace = carried_trace(case) if state is not None else ("", None)
    if state is not None and trace is not None:
        require_fit(trace, state)
    times = times or (20 if state is None else 1)
    config = open_config(config_path)
    subject = config.subject(loaded.subject)
    slots = slots or (os.cpu_count() or 2)
    events: list[Event] = []
    emitter = Emitter()
    if "ndjson" in output.files.values():
        emitter.add(events.append)
    if output.stdout == "ndjson":
        emitter.add(NdjsonWriter(sys.stdout.buffer))
    tally = Tally()
    interrupted = False
    with (
        Workspace(workspace) as space,
        ThreadPoolExecutor(slots) as executor,
        ProgressListener(console_for_people(stderr=True), times, "replays") as progress,
    ):
        emitter.add(progress)
        road = TraceRoad(subject, space, recording=recording) if state is not None else RealRoad(subject, space)
        try:
            given = {name: (value,) for name, value in loaded.params.items()}
            check_params(subject.name, road.declared_params(), given, f"case {loaded.case_id}")
            if isinstance(road, TraceRoad) and state is not None and trace is None:
                click.echo(f"crashlab: {one_line(recorded_again(loaded))}", err=True)
                require_fit(road.recording(loaded).trace(), state)
            limits = Limits(slots=slots)
            replay_case(road, loaded, times, executor, limits, emitter, check_room=space.check_room, tally=tally)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            road.close()
    again = summarise_replay(loaded, times, tally)
    text = _text(again, partial=tally.stop in PARTIAL)
    click.echo(text, err=not output.for_people)
    if output.stdout == "json":
        click.echo(msgspec.json.encode(again))

    def make(name: str) -> bytes:
        if name == "ndjson":
            return b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        return msgspec.json.encode(again) + b"\n" if name == "json" else f"{text}\n".encode()

    output.save(make)
    if interrupted:
        raise KeyboardInterrupt
    if again.reproduced:
        return 1
    return 0 if again.judged and tally.stop not in PARTIAL else 3


def _text(again: Replayed, *, partial: bool) -> str:
    case = again.case
    lines = [
        f"case {case.case_id}  subject {case.subject}  seed {case.seed}",
        f"fault {case.fault}",
        (f"partial results ({again.stop}): " if partial else "") + again.text,
        *(f"  {count}/{again.judged}  {name}" for name, count in sorted(again.findings.items())),
        *(f"  seen: {finding.message}" for finding in again.examples),
        *(f"  ERROR: {error}" for error in again.errors),
    ]
    return "\n".join(f"  {one_line(line)}" if line.startswith("  ") else one_line(line) for line in lines)
