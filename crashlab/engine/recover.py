"""After the fault: the program's own restart path, and what it brings back."""

import contextlib
import os
import sqlite3
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from crashlab.errors import LimitError
from crashlab.model.contract import FaultClass
from crashlab.model.history import History
from crashlab.model.phase import MARK_CLOSE, MARK_CONNECTION_CLOSE
from crashlab.model.step import Row, Table
from crashlab.model.workload import Check
from crashlab.oracles.view import Recovered
from crashlab.sqlite.check import foreign_key_check, integrity_check, quick_check
from crashlab.sqlite.distrust import distrust
from crashlab.sqlite.shm import parse_shm
from crashlab.writers.context import RunContext

ROWS_MAX = 1_000_000
LINES_MAX = 20


def read_rows(
    connection: sqlite3.Connection, tables: tuple[Table, ...]
) -> tuple[dict[str, dict[Row, Row]], list[tuple[str, Row]]]:
    """Read the declared tables: table → key → value, and keys that came more than once.

    A table that does not exist is left out. Raises sqlite3.Error for a file that cannot be read, LimitError for
    a table too large to judge.
    """
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table','view')")}
    rows: dict[str, dict[Row, Row]] = {}
    duplicates: list[tuple[str, Row]] = []
    for table in tables:
        if table.name not in there:
            continue
        width = len(table.key)
        found: dict[Row, Row] = {}
        fetched = connection.execute(table.query).fetchmany(ROWS_MAX + 1)
        if len(fetched) > ROWS_MAX:
            raise LimitError(f"table {table.name!r} has over {ROWS_MAX} rows, more than the oracles are given")
        for row in fetched:
            found[row[:width]] = row[width:]
        if len(found) != len(fetched):
            seen: set[Row] = set()
            for row in fetched:
                if row[:width] in seen:
                    duplicates.append((table.name, row[:width]))
                seen.add(row[:width])
        rows[table.name] = found
    return rows, duplicates


def read_main_alone(path: str, tables: tuple[Table, ...]) -> tuple[str, dict[str, dict[Row, Row]]]:
    """Say what the main file is without its WAL, and which rows it holds.

    `path` is a private copy. Returns readable, no-schema, malformed, empty or missing.
    """
    try:
        if not os.stat(path).st_size:
            return "empty", {}
    except FileNotFoundError:
        return "missing", {}
    uri = f"file:{quote(Path(path).as_posix())}?immutable=1&mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        rows, _ = read_rows(connection, tables)
        problems = quick_check(connection, 1)
    except sqlite3.Error:
        return "malformed", {}
    finally:
        connection.close()
    if problems:
        return "malformed", {}
    return ("readable" if rows else "no-schema"), rows


def restart_and_read(
    workload: Any,
    context: RunContext,
    history: History,
    fault_class: FaultClass,
    wal_index: bytes,
    sidecars: dict[str, int],
) -> Recovered:
    """Run the program's own start-up path on the files and read what it brings back.

    `wal_index` are the bytes of the `-shm` as the fault left it, `sidecars` the sizes of `-wal` and
    `-journal` then. Never raises for what the program does: a raise is recorded as a refusal.
    """
    closed = any(p.name == MARK_CLOSE and p.process == 0 and p.leave_ns for p in history.phases)
    left = {name: size for name, size in sidecars.items() if size} if closed else {}
    parsed = parse_shm(wal_index) if wal_index else None
    index_problems = (parsed.impossible,) if parsed is not None and parsed.impossible else ()
    others = any(lane.pins for lane in workload.lanes(context)) or _closed_at_once(history)
    common: dict[str, Any] = {
        "wal_index_problems": index_problems,
        "sidecars_after_clean_close": left,
        "closed_cleanly": closed,
        "other_connections": others,
    }
    try:
        instance = workload.restart(context)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        refusal = f"{type(error).__name__}: {error} (at {os.path.basename(where.filename)}:{where.lineno})"
        return Recovered(refused=refusal[:1000], **common)
    try:
        checks = [check for check in workload.checks if fault_class not in check.not_under]
        return _read(workload, checks, context, history, instance, common)
    finally:
        with contextlib.suppress(Exception):
            instance.close()


def _closed_at_once(history: History) -> bool:
    """Whether two connections closed at one time: each may see the other still there, and then neither ends the WAL."""
    closes = sorted((p.enter_ns, p.leave_ns) for p in history.phases if p.name == MARK_CONNECTION_CLOSE)
    return any(later[0] < first[1] or not first[1] for first, later in pairwise(closes))


def _read(
    workload: Any,
    checks: list[Check],
    context: RunContext,
    history: History,
    instance: Any,
    common: dict[str, Any],
) -> Recovered:
    connection = sqlite3.connect(context.database, isolation_level=None, timeout=5.0)
    try:
        distrust(connection)
        quick = quick_check(connection, LINES_MAX)
        integrity = integrity_check(connection, LINES_MAX)
        foreign = foreign_key_check(connection, LINES_MAX)
        try:
            rows, duplicates = read_rows(connection, workload.tables)
        except sqlite3.Error as error:
            rows, duplicates = {}, []
            quick = (*quick, f"reading the tables: {error}")
        problems = {check.name: _lines(check.run, instance, connection, history) for check in checks}
        return Recovered(
            rows=rows,
            duplicates=tuple(duplicates),
            quick_check=quick,
            integrity_check=integrity,
            foreign_key_check=foreign,
            check_problems={name: lines for name, lines in problems.items() if lines},
            **common,
        )
    finally:
        connection.close()


def _lines(run: Callable[..., Any], instance: Any, connection: sqlite3.Connection, history: History) -> tuple[str, ...]:
    try:
        return tuple(
            str(line)[:500] for _, line in zip(range(LINES_MAX), run(instance, connection, history), strict=False)
        )
    except Exception as error:
        return (f"the check itself raised {type(error).__name__}: {error}"[:500],)
