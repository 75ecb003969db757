"""`--sqlite`: which SQLite schedules run on."""

from pathlib import Path

import click

from crashlab.errors import UsageError
from crashlab.sqlite.apsw_module import has_apsw

__all__ = ["engine_option", "parse_engine"]

_ENGINES = "sqlite3, or apsw=DIR"


def parse_engine(text: str) -> str:
    """Read `--sqlite`: "" for this Python's, else apsw's directory.

    Raises:
        UsageError: something else.
    """
    kind, equals, directory = text.partition("=")
    if kind == "sqlite3" and not equals:
        return ""
    if kind != "apsw" or not directory:
        raise UsageError(f"--sqlite {text!r}: expected {_ENGINES}")
    if not has_apsw(directory):
        raise UsageError(f"--sqlite {text}: no apsw in it; make it with `pip install --target {directory} apsw`")
    return str(Path(directory).resolve())


engine_option = click.option(
    "--sqlite",
    "engine",
    default="sqlite3",
    show_default="this Python's sqlite3",
    metavar="ENGINE",
    help="Which SQLite of schedules: sqlite3, or apsw=DIR for the one that apsw carries in DIR.",
)
