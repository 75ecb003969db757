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
@click.argument("path")
@click.option("--wal", type=click.Path(), help="The -wal, where it does not lie beside PATH.")
@click.option("--shm", type=click.Path(), help="The -shm, likewise.")
@click.option("--journal", type=click.Path(), help="The -journal, likewise.")
@click.option("--backup", type=click.Path(), help="An older copy: which of its rows are missing now?")
@click.option("--ledger", type=click.Path(), help="Rows that were acknowledged, one JSON object a line.")
@click.option("--scratch", type=click.Path(exists=True, file_okay=False), help="Where copies are made, and removed.")
@click.option("--deadline", type=float, default=600.0, show_default=True, help="Seconds for the whole.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def autopsy(*, path: str, form: str, deadline: float, scratch: str | None, **files: Any) -> int:
    """Say what happened to a database, from the files that it left.

    Copies first and never changes an original. Says what is damaged, which commits are still visible, which mechanisms
    the files support, which they rule out, and between which they cannot tell. Exit codes: 0 healthy (a crash alone is
    healthy), 1 damaged or lossy, 2 usage, 3 cannot tell.
    """
    import msgspec

    from crashlab.diagnosis.autopsy import autopsy as examine
    from crashlab.diagnosis.autopsy.text import text
    from crashlab.errors import UsageError

    if not 0 < deadline <= 86_400:
        raise UsageError(f"deadline is {deadline:g} s, expected more than 0 and at most 86400")
    report = examine(
        path,
        sides={side: files[side] for side in _SIDES if files[side] is not None},
        backup=files["backup"],
        ledger=files["ledger"],
        scratch=scratch,
        seconds=deadline,
    )
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        click.echo(printable(text(report)), nl=False)
    return report.exit_code
