"""`crashlab repro`: reproduce known field failures on this machine, each with its control."""

import sys
from pathlib import Path
from typing import Any

import click

from crashlab.cli.options import examples
from crashlab.errors import UsageError

_PLAIN_WIDTH = 100
_S38_ONLY = ("kind", "grace", "close_takes", "auto_checkpoint")


def _exhibits_named(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from crashlab.gallery import S38
    from crashlab.gallery.mechanisms import load_exhibits

    return [name for name in (S38, "all", *load_exhibits()) if name.startswith(incomplete.casefold())]


@click.command(
    "repro",
    short_help="Reproduce a known field failure, with its control.",
    epilog=examples(
        "crashlab repro --list",
        "crashlab repro a1-kill",
        "crashlab repro a1 --runs 20",
        "crashlab repro s38",
        "crashlab repro all --runs 20 --format json",
    ),
)
@click.argument("exhibit", required=False, shell_complete=_exhibits_named)
@click.option("--list", "listing", is_flag=True, help="List what can be reproduced.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same plan.")
@click.option("--runs", type=click.IntRange(1, 1000), default=1, show_default=True, help="Repeat, print k of n.")
@click.option("--sqlite", default="stdlib", show_default=True, help="stdlib, or apsw=DIR from 'pip install --target'.")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Exhibits at a time.")
@click.option("--keep", type=click.Path(), help="Keep the files that the run left, in this new directory.")
@click.option(
    "--on",
    "kind",
    type=click.Choice(["default", "ignore", "print", "handle"]),
    default="default",
    show_default=True,
    help="s38: what the writer does about the hang-up: die, ignore it silently, print on, or run its close().",
)
@click.option(
    "--grace",
    type=float,
    default=5.0,
    show_default=True,
    help="s38: seconds from the hang-up to the kill (at most 60).",
)
@click.option(
    "--close-takes",
    type=float,
    default=0.0,
    show_default=True,
    help="s38: seconds that close() winds up before it writes.",
)
@click.option(
    "--auto-checkpoint",
    type=click.IntRange(0, 1_000_000),
    default=1000,
    show_default=True,
    help="s38: SQLite's wal_autocheckpoint in frames; 0 turns it off.",
)
@click.option("--deadline", type=float, default=600.0, show_default=True, help="Seconds for the whole command.")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.pass_context
def repro(context: click.Context, /, exhibit: str | None, *, listing: bool, form: str, **options: Any) -> int:
    """Reproduce a known field failure on this machine, with its control.

    EXHIBIT is an id such as a1-kill, a letter such as A1 for all its variants, `all`, or s38. Everything happens
    in temporary directories that are removed, in processes of its own. Exit codes: 0 all as expected, 1 a run
    contradicts what was expected, 2 usage, 3 no answer (nothing could run, or the lab broke), 130 interrupted.
    """
    from crashlab.gallery import S38

    if listing:
        return _list(form)
    if exhibit is None:
        raise UsageError("no exhibit named; 'crashlab repro --list' shows all, 'crashlab repro s38' is a tour")
    if not 0 < options["deadline"] <= 86_400:
        raise UsageError(f"deadline is {options['deadline']:g} s, expected more than 0 and at most 86400")
    if exhibit.casefold() == S38:
        return _s38(form, **options)
    for name in _S38_ONLY:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = "on" if name == "kind" else name.replace("_", "-")
            raise UsageError(f"--{option} is about s38 alone, not {exhibit}")
    return _exhibits(exhibit, form, **options)


def _exhibits(name: str, form: str, **options: Any) -> int:
    import msgspec

    from crashlab.gallery import find_exhibits
    from crashlab.gallery.host import check_driver, keep_files
    from crashlab.gallery.repeat import play_all

    exhibits = find_exhibits(name)
    check_driver(options["sqlite"])
    if options["keep"] is not None:
        if len(exhibits) > 1 or options["runs"] > 1:
            raise UsageError("--keep is for one run of one exhibit; name an id, without --runs")
        keep_files(exhibits[0], options["seed"], options["sqlite"], Path(options["keep"]))
        click.echo(f"the files as the run left them: {options['keep']}", err=True)
    many = len(exhibits) > 1 or options["runs"] > 1
    gallery = play_all(
        exhibits,
        seed=options["seed"],
        runs=options["runs"],
        sqlite=options["sqlite"],
        jobs=options["jobs"],
        deadline_s=options["deadline"],
        progress=_count if many and sys.stderr.isatty() else _silent,
    )
    if form == "json":
        click.echo(msgspec.json.encode(gallery))
        return gallery.exit_code
    if form == "markdown":
        from crashlab.report.exhibits_markdown import gallery_markdown

        click.echo(gallery_markdown(gallery), nl=False)
        return gallery.exit_code
    from crashlab.report.exhibits import GalleryTable, StoryText

    _print(GalleryTable(gallery) if many else StoryText(exhibits[0], gallery.tallies[0]))
    return gallery.exit_code


def _s38(form: str, **options: Any) -> int:
    if form == "markdown":
        raise UsageError("s38 is a tour, not a table; --format text or json")
    import msgspec

    from crashlab.gallery.s38.running import reproduce
    from crashlab.gallery.s38.tour import tour
    from crashlab.writers.order import OnHangUp

    result = reproduce(
        options["seed"],
        options["runs"],
        on=OnHangUp(options["kind"]),
        grace_s=options["grace"],
        close_s=options["close_takes"],
        auto_checkpoint=options["auto_checkpoint"],
        deadline_s=options["deadline"],
        progress=_count if options["runs"] > 1 and sys.stderr.isatty() else _silent,
    )
    if result.exit_code == 0:
        result = msgspec.structs.replace(
            result, tour=tour(options["seed"], options["runs"], jobs=options["jobs"], deadline_s=options["deadline"])
        )
    if form == "json":
        click.echo(result.encode())
    else:
        from crashlab.gallery.s38.text import S38Text

        _print(S38Text(result))
    return result.exit_code


def _print(text: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False).print(text)


def _list(form: str) -> int:
    from crashlab.gallery import S38, S38_TITLE
    from crashlab.gallery.mechanisms import load_exhibits
    from crashlab.report.exhibits import list_lines

    exhibits = load_exhibits()
    if form == "markdown":
        from crashlab.report.exhibits_markdown import exhibits_markdown

        click.echo(exhibits_markdown(exhibits.values()), nl=False)
        return 0
    if form == "json":
        import msgspec

        listed = [
            {"id": S38, "title": S38_TITLE},
            *({"id": each.id, "title": each.title} for each in exhibits.values()),
        ]
        click.echo(msgspec.json.encode(listed))
        return 0
    click.echo(f"{S38:{max(map(len, exhibits))}}  {S38_TITLE}")
    for line in list_lines(exhibits):
        click.echo(line)
    return 0


def _count(done: int, of: int) -> None:
    """Count the runs on one line of the terminal, and wipe it out at the end."""
    sys.stderr.write(f"\r{done} of {of} runs" + ("\r\x1b[K" if done == of else ""))
    sys.stderr.flush()


def _silent(_done: int, _of: int) -> None:
    """Say nothing."""
