"""`crashlab salvage`: the best database that the bytes of a damaged one can give."""

import click

from crashlab.report.plain import printable


@click.command(
    "salvage",
    short_help="Save what the files of a damaged database still hold.",
    epilog="Example: crashlab salvage state.db --wal ghost.wal --into saved.db",
)
@click.argument("path")
@click.option(
    "--into", "new", type=click.Path(), help="The new database. Never overwritten; the ledger lies beside it."
)
@click.option("--list", "only_list", is_flag=True, help="Only say which databases the files can give.")
@click.option("--wal", "wals", multiple=True, type=click.Path(), help="Another WAL of this database; repeatable.")
@click.option("--shm", type=click.Path(), help="The -shm, where it does not lie beside PATH.")
@click.option("--at", default="", help="GENERATION:COMMIT or 'main', as --list shows them.")
@click.option("--generation", type=int, help="The last commit of this generation.")
@click.option("--merge", multiple=True, help="Add the rows of another choice, or of 'all' generations; repeatable.")
@click.option("--renumber", is_flag=True, help="With --merge: new rowids for new rows whose rowid is taken.")
@click.option("--orphans", is_flag=True, help="Also look for rows in pages that no tree reaches.")
@click.option("--method", type=click.Choice(["auto", "pages", "rows"]), default="auto", show_default=True)
@click.option(
    "--no-mend", is_flag=True, help="Leave broken frames broken, where their checksum proves how to mend them."
)
@click.option("--scratch", type=click.Path(exists=True, file_okay=False), help="Where copies are made, and removed.")
@click.option("--deadline", type=float, default=600.0, show_default=True, help="Seconds for the whole.")
@click.option("--bytes-max", type=int, default=64 << 30, help="Bytes of all originals together.")
@click.option("--pages-max", type=int, default=1 << 24, help="Pages of the database.")
@click.option("--rows-max", type=int, default=1 << 28, help="Rows that are lifted.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def salvage(
    *,
    path: str,
    new: str | None,
    only_list: bool,
    wals: tuple[str, ...],
    shm: str | None,
    at: str,
    generation: int | None,
    merge: tuple[str, ...],
    renumber: bool,
    orphans: bool,
    method: str,
    no_mend: bool,
    scratch: str | None,
    deadline: float,
    bytes_max: int,
    pages_max: int,
    rows_max: int,
    form: str,
) -> int:
    """Save what the files of a damaged or lossy database still hold, into a new file.

    Copies first and never changes an original. Takes the main file with the last commit of the WAL that has the most
    of them, or what --at names, and checks the result. What is missing, set aside or in doubt stands in the ledger,
    NEW.ledger.txt and NEW.ledger.json. Exit codes: 0 complete, 1 made with something missing, set aside or in doubt,
    2 usage, 3 nothing was made.
    """
    import msgspec

    from crashlab.diagnosis.salvage import list_choices
    from crashlab.diagnosis.salvage import salvage as save
    from crashlab.diagnosis.salvage.text import listing_text, text
    from crashlab.errors import UsageError

    if not 0 < deadline <= 86_400:
        raise UsageError(f"deadline is {deadline:g} s, expected more than 0 and at most 86400")
    if only_list == (new is not None):
        raise UsageError("expected one of --into NEW and --list")
    if at and generation is not None:
        raise UsageError("--at and --generation name a choice both; give one of them")
    if only_list:
        listing = list_choices(
            path, wals=wals, mend=not no_mend, scratch=scratch, seconds=deadline, bytes_max=bytes_max
        )
        plain = msgspec.json.encode(listing) if form == "json" else b""
        click.echo(_formatted(plain) if plain else printable(listing_text(listing)), nl=bool(plain))
        return listing.exit_code
    assert new is not None
    report = save(
        path, new, wals=wals, shm=shm, at=at or (str(generation) if generation is not None else ""), merge=merge,
        renumber=renumber, orphans=orphans, method=method, mend=not no_mend, scratch=scratch, seconds=deadline,
        bytes_max=bytes_max, pages_max=pages_max, rows_max=rows_max,
    )  # fmt: skip
    if form == "json":
        click.echo(_formatted(msgspec.json.encode(report)))
    else:
        click.echo(printable(text(report)), nl=False)
    return report.exit_code


def _formatted(data: bytes) -> str:
    import msgspec

    return msgspec.json.format(data, indent=2).decode()
