"""System metrics: numbers the engine measures about itself."""

import sqlite3
from typing import NamedTuple, NoReturn

from store.connection import Database
from store.errors import StoreValidation
from store.validation import MAX_INTEGER, integer, number, shown
from store.validation import name as valid_name

_INSERT = "INSERT INTO system_metrics (name, value, metric_key, session_id, ts) VALUES (?, ?, ?, ?, ?)"


class Metric(NamedTuple):
    """A recorded metric; `ts` in nanoseconds since 1970."""

    metric_id: int
    name: str
    value: float | int
    key: str | None
    session_id: int | None
    ts: int


class Metrics(Database):
    """Recording and reading the table `system_metrics`."""

    def record_system_metric(
        self,
        name: str,
        value: float,
        *,
        key: str | None = None,
        session_id: int | None = None,
        ts: int | None = None,
    ) -> int:
        """Record one value in a transaction of its own (or the open `transaction()`); returns its row id.

        `key`, when given, is unique in the table: a caller that repeats a write after a crash is
        refused instead of counted twice. `ts` defaults to the store's clock. Raises StoreValidation
        for a used key, an unknown session, NaN or an infinity.
        """
        parameters = (
            valid_name(name, "name"),
            number(value, "value"),
            None if key is None else valid_name(key, "key"),
            None if session_id is None else integer(session_id, "session_id", 1),
            self._clock() if ts is None else integer(ts, "ts"),
        )
        try:
            return self._write(_INSERT, parameters)[0]
        except sqlite3.IntegrityError as error:
            _refused(error, key, session_id)

    def system_metrics(self, name: str | None = None, *, after: int = 0, limit: int | None = None) -> list[Metric]:
        """Metrics in the order they were recorded, of one name or all, with `metric_id` above `after`.

        Page through a long table by passing the last `metric_id` seen; `limit=None` means all.
        """
        where = "metric_id > ?"
        values: list[object] = [integer(after, "after")]
        if name is not None:
            where += " AND name = ?"
            values.append(valid_name(name, "name"))
        values.append(MAX_INTEGER if limit is None else integer(limit, "limit", least=1))
        rows = self._read(
            "SELECT metric_id, name, value, metric_key, session_id, ts FROM system_metrics "
            f"WHERE {where} ORDER BY metric_id LIMIT ?",
            values,
        )
        return [Metric(*row) for row in rows]

    def count_system_metrics(self) -> int:
        """Rows in the table."""
        return int(self._read("SELECT count(*) FROM system_metrics")[0][0])


def _refused(error: sqlite3.IntegrityError, key: str | None, session_id: int | None) -> NoReturn:
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        raise StoreValidation(f"there is no session {session_id} to record the metric under") from error
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
        raise StoreValidation(f"a metric with key {shown(key)} is already recorded") from error
    raise error
