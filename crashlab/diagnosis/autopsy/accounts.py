"""What SQLite itself says of a private copy, and what a ledger says that ought to be there.

Runs in a process of its own: a hostile file may kill it.
"""

import json
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from crashlab.diagnosis.autopsy.report import LedgerFacts
from crashlab.errors import UsageError
from crashlab.gallery.stage.ledger import Ledger
from crashlab.sqlite.check import integrity_check, quick_check

__all__ = ["against_ledger", "own_checks", "read_ledger"]

LINES_MAX = 20
LEDGER_LINES_MAX = 2_000_000
_GONE = "deleted"
_EXPECTED = """expected {"table": "t", "key": {"id": 1}, "row": {"v": "x"}}, or "row": null for a deletion"""

Entry = tuple[str, tuple[str, ...], tuple[Any, ...], "dict[str, Any] | None"]


def own_checks(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """quick_check and integrity_check, at most LINES_MAX lines each; empty means ok. The second covers the first."""
    with suppress(sqlite3.Error):  # it reads the schema, which may be malformed
        connection.execute("pragma cache_size=-100000")  # kilobytes; every row is looked up in every index
    whole = integrity_check(connection, LINES_MAX)
    return {"quick_check": quick_check(connection, LINES_MAX) if whole else (), "integrity_check": whole}


def read_ledger(path: Path, name: str = "") -> list[Entry]:
    """Read a ledger: one JSON object a line, in the order of the acks.

    Raises:
        UsageError: a line is none; it says which, of the ledger `name` (where `path` is a copy of it).
    """
    name = name or str(path)
    entries: list[Entry] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            if number > LEDGER_LINES_MAX:
                raise UsageError(f"the ledger {name} has more than {LEDGER_LINES_MAX} lines; give its last part")
            try:
                entries.append(_entry(json.loads(line)))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise UsageError(f"the ledger {name}, line {number}: no entry; {_EXPECTED}") from None
    return entries


def _entry(found: Any) -> Entry:
    table, key, row = found["table"], found["key"], found["row"]
    plain = (str, int, float, type(None))
    if not isinstance(table, str) or not isinstance(key, dict) or not key or not isinstance(row, dict | None):
        raise TypeError
    if not all(isinstance(value, plain) for value in (*key.values(), *(row or {}).values())):
        raise TypeError
    return table, tuple(key), tuple(key.values()), row


def against_ledger(connection: sqlite3.Connection, entries: list[Entry]) -> tuple[LedgerFacts, dict[str, str]]:
    """Hold the rows that were acked against those that are there; returns the facts and the `rows.` features."""
    last = {_name(table, columns, values): row for table, columns, values, row in entries}
    wanted: dict[tuple[str, tuple[str, ...], tuple[str, ...]], set[tuple[Any, ...]]] = {}
    for table, columns, values, row in entries:
        wanted.setdefault((table, columns, tuple(row or ())), set()).add(values)
    ledger, found, problem = Ledger(), {}, ""
    for (table, columns, others), keys in wanted.items():
        try:
            for row in _rows(connection, table, columns, others):
                values = row[: len(columns)]
                name = _name(table, columns, values)
                expected = last.get(name)
                if values in keys and tuple(expected or ()) == others:
                    there = dict(zip(others, row[len(columns) :], strict=True))
                    found[name] = _value(there) if expected is not None else "there"
        except sqlite3.Error as error:
            problem = problem or f"{table}: {error}"
    for name, expected in last.items():
        ledger.ack(name, _GONE if expected is None else _value(expected))
        if expected is None:
            found.setdefault(name, _GONE)
    rows, features = ledger.compare(found)
    facts = LedgerFacts(rows.acked, rows.lost, rows.changed, features["rows.lost"], rows.lost_examples, problem)
    told = () if problem else ("rows.lost", "rows.changed")  # what cannot be read is not known to be lost
    return facts, {name: features[name] for name in told}


def _rows(connection: sqlite3.Connection, table: str, key: tuple[str, ...], others: tuple[str, ...]) -> sqlite3.Cursor:
    columns = ", ".join(map(_quoted, (*key, *others)))
    return connection.execute(f"select {columns} from {_quoted(table)} not indexed")


def _name(table: str, columns: tuple[str, ...], values: tuple[Any, ...]) -> str:
    return f"{table} {_value(dict(zip(columns, values, strict=True)))}"


def _value(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=repr)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\0", "") + '"'
