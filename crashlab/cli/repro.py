"""`crashlab repro`: reproduce a known field failure on this machine, with its control."""

import sys

import click

from crashlab.errors import UsageError

_PLAIN_WIDTH = 100


@click.command("repro", short_help="Reproduce a known field failure, with its control.")
@click.argument("exhibit", required=False)
@click.option("--list", "listing", is_flag=True, help="List what can be reproduced.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same plan.")
@click.option("--runs", type=click.IntRange(1, 1000), default=1, show_default=True, help="Repeat, print k of n.")
@click.option(
    "--on",
    "kind",
    type=click.Choice(["default", "ignore", "print", "handle"]),
    default="default",
    show_default=True,
    help="What the writer does about the hang-up: die, ignore it silently, print on, or run its close().",
)
@click.option(
    "--grace", type=float, default=5.0, show_default=True, help="Seconds from the hang-up to the kill (at most 60)."
)
@click.option(
    "--close-takes", type=float, default=0.0, show_default=True, help="Seconds that close() winds up before it writes."
)
@click.option(
    "--auto-checkpoint",
    type=click.IntRange(0, 1_000_000),
    default=1000,
    show_default=True,
    help="SQLite's wal_autocheckpoint in frames; 0 turns it off.",
)
@click.option("--deadline", type=float, default=120.0, show_default=True, help="Seconds for the whole command.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def repro(
    exhibit: str | None,
    *,
    listing: bool,
    seed: int,
    runs: int,
    kind: str,
    grace: float,
    close_takes: float,
    auto_checkpoint: int,
    deadline: float,
    form: str,
) -> int:
    """Reproduce a known field failure on this machine, with its control.

    EXHIBIT is its name, such as s38. Everything happens in a temporary directory that is removed.
    Exit codes: 0 reproduced in every run, 1 a run contradicts what SQLite promises, 2 usage, 3 no
    answer, 130 interrupted.
    """
    if listing:
        _list()
        return 0
    from crashlab.gallery import EXHIBITS, find_exhibit

    if exhibit is None:
        raise UsageError(
            f"no exhibit named; known: {', '.join(EXHIBITS)}, e.g. 'crashlab repro {next(iter(EXHIBITS))}'"
        )
    find_exhibit(exhibit)
    from crashlab.gallery.s38.running import reproduce
    from crashlab.writers.order import OnHangUp

    result = reproduce(
        seed,
        runs,
        on=OnHangUp(kind),
        grace_s=grace,
        close_s=close_takes,
        auto_checkpoint=auto_checkpoint,
        deadline_s=deadline,
        progress=_count if runs > 1 and sys.stderr.isatty() else _silent,
    )
    if form == "json":
        click.echo(result.encode())
    else:
        from rich.console import Console

        from crashlab.gallery.s38.text import S38Text

        console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False)
        console.print(S38Text(result))
    return result.exit_code


def _list() -> None:
    from crashlab.gallery import EXHIBITS

    for exhibit in EXHIBITS.values():
        click.echo(f"{exhibit.name:8} {exhibit.title}  [needs: {exhibit.needs}]")


def _count(done: int, of: int) -> None:
    """Count the runs on one line of the terminal, and wipe it out at the end."""
    sys.stderr.write(f"\r{done} of {of} runs" + ("\r\x1b[K" if done == of else ""))
    sys.stderr.flush()


def _silent(_done: int, _of: int) -> None:
    """Say nothing."""
