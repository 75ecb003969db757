"""`crashlab replay` and `crashlab reduce` for the cases of `crashlab schedules`."""

from pathlib import Path

import click
import msgspec

from crashlab.cli.options import Output, open_config
from crashlab.engine.casedir import replay_command
from crashlab.engine.environment import environment_stamp
from crashlab.engine.schedules.campaign import Plan, greeting_for
from crashlab.engine.schedules.case import SCHEDULE_CASE, load_schedule_case, save_schedule_case
from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.faults_foreign import foreign_of
from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.story import program_text, tell
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.model.schedule import Schedule, segments_text
from crashlab.report.plain import one_line, printable

__all__ = ["is_schedule_case", "reduce_schedule", "replay_schedule"]

TIMES = 20
STEPS_MAX = 100
_HEADS = 12


def is_schedule_case(case: Path) -> bool:
    """Whether a path is a case directory of a schedule, or its `schedule.json`."""
    return (case / SCHEDULE_CASE).is_file() or case.name == SCHEDULE_CASE


def replay_schedule(
    case: Path, times: int | None, config: Path | None, engine: str, workspace: str | None, output: Output
) -> int:
    """Run a schedule again; return 1 if it failed in the same way at least once."""
    schedule = load_schedule_case(case)
    with Workspace(workspace) as space:
        plan = _plan(schedule, config, engine)
        with Explorer(greeting_for(plan, space.make_run() / "work", calibrate=False)) as explorer:
            _warn(schedule, explorer.engine)
            again = explorer.replay(schedule, times or TIMES)
    lines = [
        f"schedule {schedule.name}  subject {schedule.script.subject}  seed {schedule.script.seed}",
        f"program  {program_text(schedule.script)}",
        f"segments {_shortened(segments_text(schedule.segments))}",
        again.text,
        *(
            f"  seen: {finding.identity.oracle}/{finding.identity.invariant}: {finding.message}"
            for finding in again.last.findings
        ),
    ]
    text = "\n".join(f"  {one_line(line)}" if line.startswith("  ") else one_line(line) for line in lines)
    click.echo(text, err=not output.for_people)
    encoded = msgspec.json.encode(
        {"schedule": schedule, "times": again.times, "alike": again.alike, "identical": again.identical}
    )
    if not output.for_people:
        click.echo(encoded)
    output.save(lambda name: encoded + b"\n" if name != "text" else f"{text}\n".encode())
    return 1 if again.alike else 0


def reduce_schedule(case: Path, config: Path | None, engine: str, workspace: str | None) -> int:
    """Make a schedule smaller, in a new case directory beside the given one."""
    schedule = load_schedule_case(case)
    directory = case if case.is_dir() else case.parent
    root = directory.parent if directory.name not in ("", "..") else directory.resolve().parent
    with Workspace(workspace) as space:
        run = space.make_run()
        plan = _plan(schedule, config, engine)
        with Explorer(greeting_for(plan, run / "work", calibrate=False)) as explorer:
            _warn(schedule, explorer.engine)
            shrunk = explorer.shrink(schedule)
            small = shrunk.schedule
            lines = [
                f"keeps  {schedule.finding}",
                f"from   {program_text(schedule.script)}",
                f"  {schedule.script.size} steps, {len(schedule.segments)} segments",
                f"to     {program_text(small.script)}",
                f"  {small.script.size} steps, {len(small.segments)} segments",
                f"tries  {shrunk.runs}" + (" (a limit was reached)" if shrunk.limited else ""),
            ]
            if (small.script, small.segments) == (schedule.script, schedule.segments):
                lines.append("it is minimal already; no new case was written")
            else:
                evidence = run / "evidence"
                evidence.mkdir()
                story = tell(small.script, explorer.tell(small, evidence))
                stamp = {**environment_stamp(root), "engine": small.engine}
                kept = save_schedule_case(root, small, schedule, shrunk.ran.findings, story, stamp, evidence)
                again = "" if config is None else str(config)
                lines += [f"case   {kept}", f"  replay  {replay_command(kept, again)}"]
    click.echo("\n".join(printable(line) for line in lines))
    return 0


def _plan(schedule: Schedule, config: Path | None, engine: str) -> Plan:
    name = schedule.script.subject
    subject = None if name == GENERIC else open_config(config).subject(name)
    return Plan(
        subject=subject, actors=schedule.road, apsw=engine, steps_max=STEPS_MAX, foreign=foreign_of(schedule.script)
    )


def _warn(schedule: Schedule, engine: str) -> None:
    if schedule.engine != engine:
        made, here = schedule.engine[:_HEADS].split(" ")[0], engine[:_HEADS].split(" ")[0]
        click.echo(
            f"crashlab: the schedule is of SQLite {made}, this is {here}: its points may lie elsewhere; "
            "--sqlite apsw=DIR takes another SQLite",
            err=True,
        )


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]} …"


def require_no_command(case: Path, command: tuple[str, ...]) -> None:
    """Refuse a COMMAND beside a schedule's case."""
    if command:
        raise UsageError(f"case {case} is a schedule; only a case of a program takes a COMMAND")
