"""`crashlab autopsy`: from the files left behind to the mechanism."""

from typing import Any

import click

from crashlab.report.plain import printable

_SIDES = ("wal", "shm", "journal")


@click.command(
    "autopsy",
    short_help="Say what happened to a database, from its files.",
    epilog="Example: crashlab autopsy state.db --ledger acked.ndjson",
)
@click.argument("path", required=False)
@click.option(
    "--live", "live_path", type=click.Path(), help="A database in use: look at its openers, not at its files."
)
@click.option("--pid", type=int, help="Look at the databases that this process has open (Linux).")
@click.option("--into", type=click.Path(), help="With --live or --pid: copy files that lost their names in here.")
@click.option("--wal", type=click.Path(), help="The -wal, where it does not lie beside PATH.")
@click.option("--shm", type=click.Path(), help="The -shm, likewise.")
@click.option("--journal", type=click.Path(), help="The -journal, likewise.")
@click.option("--backup", type=click.Path(), help="An older copy: which of its rows are missing now?")
@click.option("--ledger", type=click.Path(), help="Rows that were acknowledged, one JSON object a line.")
@click.option("--seen", type=click.Path(), help="What --live or --pid said of it in use, as --format json wrote it.")
@click.option("--scratch", type=click.Path(exists=True, file_okay=False), help="Where copies are made, and removed.")
@click.option("--deadline", type=float, default=600.0, show_default=True, help="Seconds for the whole.")
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), default="text", show_default=True)
def autopsy(
    *,
    path: str | None,
    live_path: str | None,
    pid: int | None,
    into: str | None,
    form: str,
    deadline: float,
    scratch: str | None,
    **files: Any,
) -> int:
    """Say what happened to a database, from the files that it left.

    Copies first and never changes an original. Says what is damaged, which commits are still visible, which mechanisms
    the files support, which they rule out, and between which they cannot tell. Exit codes: 0 healthy (a crash alone is
    healthy), 1 damaged or lossy, 2 usage, 3 cannot tell.
    """
    import msgspec

    from crashlab.diagnosis.autopsy import autopsy as examine
    from crashlab.diagnosis.autopsy.text import text
    from crashlab.errors import UsageError
    from crashlab.report.autopsy_html import autopsy_html, require_jinja2

    if form == "html":
        require_jinja2()  # before the work, not after it
    if not 0 < deadline <= 86_400:
        raise UsageError(f"deadline is {deadline:g} s, expected more than 0 and at most 86400")
    if live_path is not None or pid is not None:
        if path is not None or scratch is not None or any(files.values()) or form == "html":
            raise UsageError(
                "--live and --pid look at a running system: only --into, --deadline and --format text or json go with"
                " them"
            )
        return _live(live_path, pid, into, deadline, form)
    if path is None or into is not None:
        raise UsageError("expected PATH, or --live PATH, or --pid PID; --into goes with the last two")
    report = examine(
        path,
        sides={side: files[side] for side in _SIDES if files[side] is not None},
        backup=files["backup"],
        ledger=files["ledger"],
        seen=files["seen"],
        scratch=scratch,
        seconds=deadline,
    )
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    elif form == "html":
        click.echo(autopsy_html(report).encode(), nl=False)
    else:
        click.echo(printable(text(report)), nl=False)
    return report.exit_code


def _live(path: str | None, pid: int | None, into: str | None, deadline: float, form: str) -> int:
    """Look at a database in use."""
    import msgspec

    from crashlab.diagnosis.live import live
    from crashlab.diagnosis.live.text import live_text
    from crashlab.errors import UsageError

    if pid is not None and not 0 < pid < 1 << 31:
        raise UsageError(f"pid is {pid}, expected the id of a process")
    report = live(path, pid=pid or 0, into=into, seconds=deadline)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        click.echo(printable(live_text(report)), nl=False)
    return report.exit_code
