"""`crashlab hazards`: run a program and tell what it does that will hurt its database later."""

import json

import click

from crashlab.cli.options import Output, examples, format_option
from crashlab.diagnosis.hazards import count_of, grouped
from crashlab.diagnosis.hazards.hazard import Ignore
from crashlab.diagnosis.hazards.launch import Run, python_first, run_watched
from crashlab.errors import UsageError
from crashlab.report.plain import printable

EXIT_FOUND = 1


@click.command(
    short_help="Run a program and tell what will hurt its database later.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "crashlab hazards -- python app.py",
        "crashlab hazards --error --ignore synchronous-off -- python app.py",
        "crashlab hazards --format json=hazards.json -- python app.py",
    ),
)
@click.option("--error", "strict", is_flag=True, help="Exit with 1 when hazards were found, whatever the program says.")
@click.option("--ignore", multiple=True, metavar="ID[:GLOB]", help="Leave a hazard out, everywhere or for some paths.")
@format_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def hazards(*, strict: bool, ignore: tuple[str, ...], formats: tuple[str, ...], command: tuple[str, ...]) -> int:
    """Run a program and tell what it does that will hurt its SQLite database later.

    COMMAND is run as it is, with its own input and output. Every Python in it watches itself; the report comes
    when the program has ended, on standard error, other formats on standard output or in the file named.
    The exit code is the program's own, or with --error 1 when hazards were found.
    """
    if not command:
        raise UsageError("no program named; expected 'crashlab hazards -- python app.py'")
    output = Output(formats)
    Ignore(ignore)
    run = run_watched(python_first(command), ignore=ignore)
    if output.stdout in ("json", "ndjson"):
        click.echo(_encoded(run, output.stdout).decode(), nl=False)
    click.echo(_text(run), err=True)
    output.save(lambda name: _encoded(run, name))
    return EXIT_FOUND if strict and run.hazards else run.code


def _text(run: Run) -> str:
    of = f"{run.processes} Python process{'es' if run.processes != 1 else ''} watched"
    lines = [f"crashlab: {count_of(run.hazards)} ({of}, exit code {run.code})"]
    if run.hazards:
        lines += ["", printable(grouped(run.hazards)), ""]
    lines += [f"crashlab: not seen here: {printable(gap)}" for gap in run.gaps]
    lines += [f"crashlab: an error of the watch itself, please report it: {printable(each)}" for each in run.problems]
    return "\n".join(lines)


def _encoded(run: Run, name: str) -> bytes:
    found = [hazard.as_data() for hazard in run.hazards]
    if name == "text":
        return f"{_text(run)}\n".encode(errors="backslashreplace")
    if name == "ndjson":
        return "".join(f"{json.dumps(each)}\n" for each in found).encode()
    whole = {
        "format_version": 1,
        "exit_code": run.code,
        "processes": run.processes,
        "hazards": found,
        "gaps": run.gaps,
        "problems": run.problems,
    }
    return (json.dumps(whole, indent=2) + "\n").encode()
