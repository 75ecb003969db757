"""`crashlab replay CASE [-- COMMAND]` for the cases of a program."""

from pathlib import Path

import click

from crashlab.cli.program_options import python_of
from crashlab.engine.program.case import judge_case, load_program_case
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import load_recording
from crashlab.engine.program.restart import Restarter
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.report.plain import one_line, printable
from crashlab.states.state import parse_state


def replay_program(case: Path, command: tuple[str, ...], workspace: str | None, timeout_s: float = 60.0) -> int:
    """Judge a saved state again; with a command, restart from it instead. Return the exit code."""
    loaded = load_program_case(case)
    with Workspace(workspace) as space:
        if command:
            copy = PrivateCopy(Path.cwd(), space.make_run())
            restarter = Restarter(python_of(command), copy, load_recording(case), timeout_s, loaded.subject)
            finding = restarter.run(parse_state(loaded.fault), space.root / "restart")
            found = [] if finding is None else [finding]
        elif loaded.identity.startswith("restart/"):
            raise UsageError(
                f"case {case}: a finding of a restart; give its command: crashlab replay {case} -- COMMAND"
            )
        else:
            found = judge_case(case, loaded, space.root / "judge")
    click.echo(f"case {case.name}  subject {printable(loaded.subject)}\nfault {one_line(loaded.fault)[:200]}")
    for each in found:
        click.echo(f"reproduced: {each.identity}\n  seen: {one_line(each.message)}")
    if not found:
        click.echo(f"not reproduced: {one_line(loaded.identity)}")
    return 1 if found else 0
