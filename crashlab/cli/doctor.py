"""`crashlab doctor`: what this machine can and cannot do."""

import os
import sys
import tempfile

import click

from crashlab import __version__
from crashlab.cli.options import workspace_option
from crashlab.engine.environment import environment_stamp
from crashlab.engine.workspace import Workspace
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.filesystem import filesystem_of
from crashlab.sqlite.library import find_library
from crashlab.writers.killtimer import AVAILABLE as KILL_TIMER
from crashlab.writers.launcher import can_hang_up
from crashlab.writers.record.seccomp import seccomp_problem


@click.command(epilog="Example: crashlab doctor")
@workspace_option
def doctor(workspace: str | None) -> int:
    """Say what this machine can and cannot do."""
    with Workspace(workspace) as space:
        stamp = environment_stamp(space.root)
        scratch = filesystem_of(space.root)
        room = os.statvfs(space.base).f_bavail * os.statvfs(space.base).f_frsize if hasattr(os, "statvfs") else 0
    library = find_library()
    click.echo(f"crashlab {__version__} on {stamp['os']} {stamp['machine']}, {stamp['cores']} cores")
    click.echo(f"Python {stamp['python']} at {sys.executable}")
    if stamp["python"].startswith("PyPy"):
        click.echo("  PyPy is not supported: its sqlite3 is another program; use CPython 3.11 or later")
    click.echo(f"SQLite {library.version} ({library.source_id})")
    for advisory in advisories_for(library):
        click.echo(f"  advisory {advisory.name}: {advisory.describe(library.version)}")
    click.echo(f"trials run on {scratch.kind}{f', {room >> 20} MiB free' if room else ''}")
    here = filesystem_of(".")
    click.echo(f"this directory is on {here.kind}{': ' + here.warning if here.warning else ''}")
    forked = sys.platform.startswith("linux")
    click.echo(f"writers are {'forked from a warm zygote' if forked else 'spawned, one interpreter start each'}")
    click.echo(
        f"kills inside a phase: {'to the microsecond, by the kernel timer' if KILL_TIMER else 'from outside, coarse'}"
    )
    click.echo(f"terminal hang-up: {'yes' if can_hang_up() else 'no pseudo-terminal writers on this system'}")
    unseen = seccomp_problem()
    click.echo(f"any program recorded at its system calls (seccomp): {'yes' if unseen is None else f'no, {unseen}'}")
    click.echo(f"temporary files: {tempfile.gettempdir()}")
    return 0
