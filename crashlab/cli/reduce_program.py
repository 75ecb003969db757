"""`crashlab reduce CASE [-- COMMAND]` for the cases of a program."""

import shlex
from pathlib import Path

import click

from crashlab.cli.program_options import python_of
from crashlab.engine.program.case import load_program_case
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import load_recording
from crashlab.engine.program.reduce import reduce_program_case
from crashlab.engine.program.restart import Restarter
from crashlab.engine.reduce import ReduceLimits
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.model.finding import Finding
from crashlab.report.plain import one_line, printable
from crashlab.states.state import CrashState


def reduce_program(
    case: Path, command: tuple[str, ...], limits: ReduceLimits, workspace: str | None, timeout_s: float = 60.0
) -> int:
    """Reduce a program's case; COMMAND is the restart that its finding came from. Return the exit code."""
    loaded = load_program_case(case)
    restarts = loaded.identity.startswith("restart/")
    if restarts and not command:
        raise UsageError(f"case {case}: a finding of a restart; give its command: crashlab reduce {case} -- COMMAND")
    if command and not restarts:
        raise UsageError(f"case {case}: judged from its recording, which takes no COMMAND: crashlab reduce {case}")
    with Workspace(workspace) as space:
        if restarts:
            copy = PrivateCopy(Path.cwd(), space.make_run())
            again = Restarter(python_of(command), copy, load_recording(case), timeout_s, loaded.subject)

            def judge(state: CrashState) -> list[Finding]:
                finding = again.run(state, space.root / "restart")
                return [] if finding is None else [finding]

            done = reduce_program_case(case, loaded, space.root / "judge", limits, judge)
        else:
            done = reduce_program_case(case, loaded, space.root / "judge", limits)
    reduced = done.reduced
    lines = [
        f"case {case.name}  subject {printable(loaded.subject)}",
        f"keeps  {reduced.identity}",
        f"from   {one_line(loaded.fault)[:200]}",
        f"to     {one_line(reduced.case.fault)[:200]}",
        f"tries  {reduced.tries} ({reduced.stop})",
    ]
    if done.kept is None:
        lines.append("it is minimal already; no new case was written")
    else:
        given = ["--", *command] if command else []
        lines += [
            f"case   {done.kept}",
            f"  seen    {one_line(load_program_case(done.kept).message)}",
            f"  replay  {shlex.join(['crashlab', 'replay', str(done.kept), *given])}",
            f"  reduce  {shlex.join(['crashlab', 'reduce', str(done.kept), *given])}",
        ]
    click.echo("\n".join(lines))
    return 0
