"""`crashlab reduce`: make a failing computed crash state smaller, in a new case directory beside the old one."""

import os
import shlex
import subprocess
from pathlib import Path

import click
import msgspec

from crashlab.cli.engines import engine_option, parse_engine
from crashlab.cli.options import config_option, examples, open_config, workspace_option
from crashlab.cli.reduce_program import reduce_program
from crashlab.cli.schedule_cases import is_schedule_case, reduce_schedule, require_no_command
from crashlab.decide.duration import parse_duration
from crashlab.engine.carried import carried_trace, recorded_again
from crashlab.engine.casedir import load_case, replay_command
from crashlab.engine.environment import environment_stamp
from crashlab.engine.moments import require_fit
from crashlab.engine.program.case import PROGRAM_CASE
from crashlab.engine.program.kills.case import KILLED_CASE
from crashlab.engine.reduce import (
    Reduced,
    ReduceLimits,
    Size,
    fails_alike,
    parsed_state,
    reduce_state,
    steps_begun,
)
from crashlab.engine.subject import Subject
from crashlab.engine.timeline import annotate_case
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError, UsageError
from crashlab.model.case import Case
from crashlab.model.finding import Identity
from crashlab.report.plain import one_line, printable
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace

BUDGET = "60s"


@click.command(
    short_help="Make a failing crash state or schedule smaller.",
    epilog=examples(
        "crashlab reduce .crashlab/runs/gate-0001/cases/a8df4d04bd32",
        "crashlab reduce .crashlab/runs/gate-0001/cases/a8df4d04bd32 --tries 500 --budget 30s",
        exit_codes="0 done · 2 usage · 3 the case does not fail here.",
    ),
)
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--tries", type=click.IntRange(1, 1_000_000), default=2000, show_default=True, help="States to judge.")
@click.option("--budget", default=BUDGET, show_default=True, metavar="DURATION", help="Time in all, e.g. 90s, 10m.")
@config_option
@engine_option
@workspace_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def reduce(
    case: Path,
    tries: int,
    budget: str,
    config_path: Path | None,
    engine: str,
    workspace: str | None,
    command: tuple[str, ...],
) -> int:
    """Reduce a failing case of the trace road to fewer losses, an earlier moment, fewer steps.

    The finding stays the same (its identity). The smaller case goes into a new directory beside the given
    one; nothing is overwritten. A case of `crashlab run -- COMMAND` takes a COMMAND if a restart's finding is in it.
    A schedule is reduced to fewer actors, steps and segments.
    """
    limits = ReduceLimits(tries, parse_duration(budget, "--budget"))
    if (case / PROGRAM_CASE).is_file():
        return reduce_program(case, command, limits, workspace)
    if is_schedule_case(case):
        require_no_command(case, command)
        return reduce_schedule(case, config_path, parse_engine(engine), workspace)
    if command:
        raise UsageError(f"case {case} is of a subject of crashlab.toml; only a case of a program takes a COMMAND")
    if (case / KILLED_CASE).is_file():
        raise UsageError(
            f"case {case}: a real kill leaves nothing to reduce; `crashlab run -- COMMAND` computes crashes of a "
            "recorded run, which can be reduced"
        )
    loaded = load_case(case)
    state = parsed_state(loaded)
    if state is None:
        raise UsageError(
            f"case {loaded.case_id}: fault {loaded.fault!r} hits a real process and leaves nothing to reduce; "
            "expected a computed crash state, kill@op=… or power-loss@op=…"
        )
    recording, trace = carried_trace(case)
    if trace is not None:
        require_fit(trace, state)
    subject = open_config(config_path).subject(loaded.subject)
    again = "" if config_path is None else str(config_path)
    directory = case if case.is_dir() else case.parent
    root = directory.parent if directory.name not in ("", "..") else directory.resolve().parent
    with Workspace(workspace) as space:
        reducer = Reducer(subject, space, root, limits)
        try:
            reduced, kept = reducer.run(loaded, state, recording, trace)
        finally:
            reducer.close()
    lines = _lines(loaded, reduced)
    if kept is None:
        lines.append("it is minimal already; no new case was written")
    else:
        annotate_case(kept)
        lines += [
            f"case   {kept}",
            f"  replay  {replay_command(kept, again)}",
            f"  reduce  {reduce_command(kept, again)}",
        ]
    click.echo("\n".join(f"  {one_line(line)}" if line.startswith("  ") else one_line(line) for line in lines))
    return 0


def reduce_command(directory: str | os.PathLike[str], config: str = "") -> str:
    """Return the command that reduces a case, ready to paste."""
    words = ["crashlab", "reduce", os.fspath(directory), *(["--config", config] if config else [])]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


class Reducer:
    """The roads that a reduction judges on, closed together."""

    def __init__(self, subject: Subject, space: Workspace, root: Path, limits: ReduceLimits) -> None:
        self._subject = subject
        self._space = space
        self._root = root
        self._limits = limits
        self._roads: list[TraceRoad] = []

    def close(self) -> None:
        """End the roads."""
        for road in self._roads:
            road.close()

    def _road(self, recording: str = "") -> TraceRoad:
        stamp = environment_stamp(self._space.root)
        road = TraceRoad(self._subject, self._space, keep=self._root, environment=stamp, recording=recording)
        self._roads.append(road)
        return road

    def run(self, case: Case, state: CrashState, recording: str, trace: Trace | None) -> tuple[Reduced, Path | None]:
        """Reduce a case and keep the smaller one below the root; None if it is minimal already."""
        road = self._road(recording)
        if trace is None:
            click.echo(f"crashlab: {printable(recorded_again(case))}", err=True)
            made = road.recording(case)
            recording, trace = made.directory, made.trace()
            require_fit(trace, state)
        reduced = reduce_state(lambda tried: road.run(tried, "reduce", keep=False), trace, case, state, self._limits)
        small = parsed_state(reduced.case)
        if small is None:
            raise LabError(f"the reduced fault {reduced.case.fault!r} is no crash state")
        road, final = self._fewer_steps(road, reduced, small, recording, trace)
        if final == case:
            return reduced, None
        outcome = road.run(final, "reduce", keep=True)
        if not fails_alike(outcome, reduced.identity) or not outcome.case_dir:
            raise LabError(f"the reduced case could not be kept in {self._root}: {outcome.error or outcome.verdict}")
        return msgspec.structs.replace(reduced, case=final), Path(outcome.case_dir)

    def _fewer_steps(
        self, road: TraceRoad, reduced: Reduced, state: CrashState, recording: str, trace: Trace
    ) -> tuple[TraceRoad, Case]:
        """Record again with only the steps that had begun at the crash; take it if it fails in the same way."""
        begun, whole = steps_begun(recording, trace, state.op)
        if not begun < min(whole, reduced.case.steps_max):
            return road, reduced.case
        shorter = msgspec.structs.replace(reduced.case, steps_max=max(1, begun))
        fresh = self._road()
        return (fresh, shorter) if _still(fresh, shorter, state, reduced.identity) else (road, reduced.case)


def _still(road: TraceRoad, case: Case, state: CrashState, identity: Identity) -> bool:
    try:
        require_fit(road.recording(case).trace(), state)
    except (LabError, UsageError):
        return False
    return fails_alike(road.run(case, "reduce", keep=False), identity)


def _lines(case: Case, reduced: Reduced) -> list[str]:
    steps = ""
    if reduced.case.steps_max != case.steps_max:
        steps = f", {reduced.case.steps_max} steps"
    return [
        f"case {case.case_id}  subject {case.subject}  seed {case.seed}",
        f"keeps  {reduced.identity}",
        f"from   {case.fault}",
        f"  {_measure(case, reduced.before)}",
        f"to     {reduced.case.fault}",
        f"  {_measure(reduced.case, reduced.after)}{steps}",
        f"tries  {reduced.tries} ({reduced.stop})",
    ]


def _measure(case: Case, size: Size) -> str:
    state = parsed_state(case)
    if state is not None and state.kind == KILL:
        return f"killed when {size.moment} operations were done" + (
            f" and {size.sectors} bytes of the next" if size.torn else ""
        )
    operations = "1 operation" if size.lost == 1 else f"{size.lost} operations"
    torn = f", {size.torn} of them torn, {size.sectors} sectors of these" if size.torn else ""
    return f"{operations} lost{torn}, when {size.moment} were done"
