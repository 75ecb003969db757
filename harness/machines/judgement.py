"""What the driver judges with: the log of a leg's operations, the clock, and how a disagreement is told."""

import sqlite3
from typing import Any, NamedTuple

EPOCH_NS = 1_800_000_000 * 10**9


class DisagreementError(AssertionError):
    """The store is not in a state that its model allows."""


class Done(NamedTuple):
    """An operation of a leg: its places in the log, and the model before it and after each transaction of it.

    `uncertain`: it met an I/O error. `durable`: what was there when it began is on the disk once it is acked.
    """

    name: str
    begin: int
    end: int
    before: bytes
    after: tuple[bytes, ...]
    uncertain: bool = False
    durable: bool = False


class Clock:
    """Nanoseconds since 1970, standing still during an operation."""

    def __init__(self) -> None:
        self.now = EPOCH_NS

    def __call__(self) -> int:
        """Return the time."""
        return self.now


def difference(view: dict[str, Any], expected: dict[str, Any]) -> str:
    """Say in which reads a store and its model differ, and the first of them in full."""
    names = [name for name in expected if view.get(name) != expected[name]]
    names += [name for name in view if name not in expected]
    if not names:
        return "they agree"
    first = names[0]
    got, wanted = view.get(first), expected.get(first)
    if isinstance(got, list) and isinstance(wanted, list):
        only_got = [row for row in got if row not in wanted]
        only_wanted = [row for row in wanted if row not in got]
        return f"{', '.join(names)} differ; of {first} the store has {only_got}, the model {only_wanted}"
    return f"{', '.join(names)} differ; {first} is {got!r}, by the model {wanted!r}"


def dump(connection: sqlite3.Connection) -> bytes:
    """Every row of every table that holds content, as bytes; shadow tables of full-text indexes are left out."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        " AND name NOT GLOB '*_fts_*' AND name NOT GLOB '*_trigram_*' ORDER BY name"
    ).fetchall()
    return repr(
        [(table, connection.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall()) for (table,) in tables]
    ).encode()
