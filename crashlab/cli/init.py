"""`crashlab init`: a configuration and a first test for the project that one stands in."""

import re
import shlex
from pathlib import Path

import click

from crashlab.cli.options import examples
from crashlab.cli.project import Project, find_project
from crashlab.cli.skeleton import MODULE, files_for
from crashlab.errors import UsageError

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@click.command(
    short_help="Write a crashlab.toml and a first test.",
    epilog=examples("crashlab init", "crashlab init --workload myapp.lab:workload", "crashlab init path/to/project"),
)
@click.argument("directory", default=".", type=click.Path(path_type=Path))
@click.option(
    "--workload",
    default="",
    metavar="MODULE:ATTR",
    help="A workload that is there already; without it an example to replace is written.",
)
def init(directory: Path, workload: str) -> int:
    """Write a crashlab.toml and a first test for the project in DIRECTORY, by default the current one.

    What it writes works at once. A file that is there is never overwritten.
    """
    if workload and not _TARGET.fullmatch(workload):
        raise UsageError(f"--workload {workload!r}: expected MODULE:ATTR, such as 'myapp.lab:workload'")
    if not directory.is_dir():
        what = "is no directory" if directory.exists() else "is not there"
        raise UsageError(f"{directory} {what}; expected the directory of a project")
    project = find_project(directory)
    files = files_for(project, workload)
    _write(directory, files)
    for path in files:
        click.echo(f"wrote {directory / path}")
    if not workload:
        _tell_what_to_replace(project)
    click.echo(f"keep {project.results}/ out of version control")
    place = [] if directory == Path() else [f"cd {shlex.quote(str(directory))}"]
    tests = shlex.quote(f"{project.tests}/{_TEST}") if project.tests != "." else _TEST
    click.echo("next:")
    for line in (*place, "crashlab run", f"python -m pytest {tests}"):
        click.echo(f"  {line}")
    return 0


_TEST = "test_crashlab.py"


def _tell_what_to_replace(project: Project) -> None:
    where = f"{project.tests}/{MODULE}.py".removeprefix("./")
    click.echo(f"{where} holds a small program of its own; put yours in its place")
    for place in project.connects:
        click.echo(f"  {place} opens a database: let it take the connect() that the lab hands in")


def _write(directory: Path, files: dict[str, str]) -> None:
    """Write all or nothing.

    Raises:
        UsageError: a file is there already, or one could not be written.
    """
    for name in files:
        path = directory / name
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already and is never overwritten; nothing was written")
    written: list[Path] = []
    made: list[Path] = []
    try:
        for name, text in files.items():
            path = directory / name
            for parent in reversed(path.parents):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            with open(path, "x", encoding="utf-8", newline="\n") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        for parent in reversed(made):
            parent.rmdir()
        raise UsageError(f"{path} cannot be written: {error.strerror}; nothing was written") from None
