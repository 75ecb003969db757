"""`crashlab doctor`: what this machine can and cannot do."""

import platform

import click
import msgspec

from crashlab import __version__
from crashlab.cli.options import Output, examples, format_option, workspace_option
from crashlab.engine.machine import Fact, State, look_at_machine
from crashlab.report.plain import printable

_MARKS = {State.YES: "yes ", State.NOTE: "note", State.NO: "no  "}
_INDENT = " " * 8


@click.command(
    short_help="What this machine can and cannot do.",
    epilog=examples("crashlab doctor", "crashlab doctor --format json", "crashlab doctor --workspace ."),
)
@workspace_option
@format_option
def doctor(workspace: str | None, formats: tuple[str, ...]) -> int:
    """Say what this machine can and cannot do, what follows, and what to do about it.

    The tap, the kill timer and seccomp are really tried. Exit code 0, also where something cannot be done.
    """
    output = Output(formats)
    facts: list[Fact] = []
    for fact in look_at_machine(workspace):
        if output.for_people and not facts:
            click.echo(_head())
        facts.append(fact)
        if output.for_people:
            click.echo("\n".join(_lines(fact)))
    if output.for_people:
        click.echo(_sum(facts))
    else:
        click.echo(_encoded(facts, output.stdout), nl=False)
    output.save(lambda name: _encoded(facts, name))
    return 0


def _head() -> str:
    return f"crashlab {__version__} on {platform.system()} {platform.release()} {platform.machine()}"


def _lines(fact: Fact) -> list[str]:
    lines = [f"  {_MARKS[fact.state]}  {fact.name}: {printable(fact.value)}"]
    if fact.therefore:
        lines.append(f"{_INDENT}therefore  {fact.therefore}")
    if fact.do:
        lines.append(f"{_INDENT}do         {fact.do}")
    return lines


def _sum(facts: list[Fact]) -> str:
    cannot = [fact.name for fact in facts if fact.state is State.NO]
    return f"cannot be done here: {', '.join(cannot)}" if cannot else "everything that the lab does can be done here"


def _encoded(facts: list[Fact], name: str) -> bytes:
    if name == "text":
        lines = [_head(), *(line for fact in facts for line in _lines(fact)), _sum(facts)]
        return ("\n".join(lines) + "\n").encode(errors="backslashreplace")
    if name == "ndjson":
        return b"".join(msgspec.json.encode(fact) + b"\n" for fact in facts)
    whole = {
        "format_version": 1,
        "crashlab": __version__,
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "facts": facts,
    }
    return msgspec.json.format(msgspec.json.encode(whole)) + b"\n"
