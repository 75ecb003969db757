"""`crashlab replay CASE -- COMMAND` for a case of real kills: the same kill again, k times."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec

from crashlab.cli.options import Output, console_for_people
from crashlab.decide.gate import PARTIAL
from crashlab.engine.campaign import Limits
from crashlab.engine.events import Emitter
from crashlab.engine.program.kills.case import KilledCase, load_killed_case
from crashlab.engine.program.kills.road import KillRoad
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.replay import Replayed, replay
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.model.case import Case
from crashlab.model.program import Program
from crashlab.report.plain import one_line
from crashlab.report.progress import ProgressListener


def replay_killed(
    directory: Path, program: Program, times: int, slots: int, workspace: str | None, output: Output
) -> int:
    """Learn the command anew, kill it `times` times at the case's moment, and count; return the exit code.

    Raises:
        UsageError: the command, or that of a restart, is not given.
    """
    loaded = load_killed_case(directory)
    if not program.argv:
        raise UsageError(f"case {directory}: a killed run; give its command: crashlab replay {directory} -- COMMAND")
    if loaded.identity.startswith("restart/") and not program.restart:
        raise UsageError(f"case {directory}: a finding of a restart; give its command: --restart COMMAND")
    program = msgspec.structs.replace(program, ack_on=loaded.ack_on, timeout_s=loaded.timeout_s)
    jobs = slots or (os.cpu_count() or 2)
    with (
        Workspace(workspace) as space,
        ThreadPoolExecutor(jobs) as executor,
        ProgressListener(console_for_people(stderr=True), times, "replays") as progress,
    ):
        area = space.make_run()
        road = KillRoad(program, PrivateCopy(Path.cwd(), area, program.maps), area)
        try:
            learned = road.learn()
            if learned.reference is None:
                click.echo(f"MISSED: {one_line(learned.missed)}", err=not output.for_people)
                return 3
            case = Case(loaded.subject, 1, loaded.fault)
            again = replay(
                road, case, times, executor, Limits(slots=jobs), Emitter(progress), check_room=space.check_room
            )
        finally:
            road.close()
    text = "\n".join(_lines(directory, loaded, again))
    click.echo(text, err=not output.for_people)
    data = msgspec.json.encode(again) + b"\n"
    if output.stdout in ("json", "ndjson"):
        click.echo(data.decode(), nl=False)
    output.save(lambda name: f"{text}\n".encode() if name == "text" else data)
    if again.reproduced:
        return 1
    return 0 if again.judged and again.stop not in PARTIAL else 3


def _lines(directory: Path, case: KilledCase, again: Replayed) -> list[str]:
    return [
        f"case {directory.name}  subject {one_line(case.subject)}",
        f"fault {one_line(case.fault)}",
        again.text,
        *(f"  {count}/{again.judged}  {one_line(name)}" for name, count in sorted(again.findings.items())),
        *(f"  seen: {one_line(finding.message)}" for finding in again.examples),
        *(f"  ERROR: {one_line(error)}" for error in again.errors),
    ]
