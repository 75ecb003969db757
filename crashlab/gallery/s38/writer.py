"""The writer that S38 closes the terminal on: a small engine in WAL mode with one transaction left open."""

import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from functools import partial

from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.seed import rng_for
from crashlab.model.step import Effect, Lane, Row, Step, Table
from crashlab.model.workload import Check, Context

WORKLOAD = "crashlab.gallery.s38.writer:engine"
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS fills(id INTEGER PRIMARY KEY, ref TEXT NOT NULL, memo TEXT NOT NULL, crc INT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS fills_by_ref ON fills(ref)",
    "CREATE TABLE IF NOT EXISTS session(id INTEGER PRIMARY KEY, ended TEXT)",
)
CACHE_PAGES = 10
"""So small that the open transaction spills into the WAL, as a large one does with any cache."""

STATUS_S = 0.002
MEMO_CHARS = 400
BATCH_MEMO_CHARS = 2000


def checksum_of(number: int, ref: str, memo: str) -> int:
    """A row's check of itself, kept in the row."""
    return zlib.crc32(f"{number}\x1f{ref}\x1f{memo}".encode())


def _row_is_right(key: Row, value: Row) -> bool:
    return bool(value[2] == checksum_of(key[0], value[0], value[1]))


FILLS = Table("fills", ("id",), ("ref", "memo", "crc"), _row_is_right)


class Handle:
    """The engine's open database."""

    def __init__(self, connection: sqlite3.Connection, close_s: float = 0.0) -> None:
        self.connection = connection
        self._close_s = close_s

    def close(self) -> None:
        """Give up what is unfinished, wind up for `close_s` seconds, mark the session as ended, truncate the WAL."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        time.sleep(self._close_s)
        self.connection.execute("UPDATE session SET ended = 'clean'")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.connection.close()


class Engine:
    """Commits `rows` fills one by one, leaves one transaction of `batch` more open, then shows its status.

    The first `settled` of them are of an earlier session that ended well: a TRUNCATE checkpoint follows
    them. `auto_checkpoint` is SQLite's own, in frames, 0 for off. `hold_s`: how long it waits to be ended.
    """

    contract = Contract()
    tables = (FILLS,)
    checks: tuple[Check, ...] = ()
    params: Mapping[str, Param] = {
        "rows": 700,
        "settled": 100,
        "batch": 60,
        "auto_checkpoint": 1000,
        "hold_s": 10.0,
        "close_s": 0.0,
    }

    def open(self, ctx: Context) -> Handle:
        """Open or make the database and start a session."""
        handle = self.restart(ctx)
        handle.connection.execute("INSERT INTO session VALUES(1, NULL)")
        return handle

    def restart(self, ctx: Context) -> Handle:
        """Open or make the database, as after a crash; the session that crashed is left as it was found."""
        params = {**self.params, **ctx.params}
        connection = ctx.connect(ctx.database, isolation_level=None)
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError(f"journal_mode is {mode!r} after PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={int(params['auto_checkpoint'])}").fetchone()
            connection.execute(f"PRAGMA cache_size={CACHE_PAGES}")
            for statement in SCHEMA:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return Handle(connection, float(params["close_s"]))

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One thread, one connection."""
        return (Lane("main"),)

    def steps(self, lane: Lane, instance: Handle, ctx: Context) -> Iterator[Step]:
        """The fills, the last of them with the open transaction behind it, then status lines without effect."""
        params = {**self.params, **ctx.params}
        rows, settled = int(params["rows"]), int(params["settled"])
        connection = instance.connection
        fills = [_fill(ctx.seed, number, MEMO_CHARS) for number in range(1, rows + 1)]
        batch = [
            _fill(ctx.seed, number, BATCH_MEMO_CHARS) for number in range(rows + 1, rows + 1 + int(params["batch"]))
        ]

        def commit(fill: Effect) -> None:
            connection.execute("BEGIN IMMEDIATE")
            _insert(connection, fill)
            connection.execute("COMMIT")

        def last(fill: Effect) -> tuple[Effect, ...]:
            commit(fill)
            connection.execute("BEGIN IMMEDIATE")
            for each in batch:
                _insert(connection, each)
            return (fill,)

        for fill in fills[:-1]:
            yield Step(fill.key[0], (fill,), partial(commit, fill))
            if fill.key[0] == settled:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        # One step, so that the transaction is open before the ack that the terminal's close waits for.
        yield Step(rows, (fills[-1], *batch), partial(last, fills[-1]))
        until = time.monotonic() + float(params["hold_s"])
        number = rows
        while time.monotonic() < until:
            number += 1
            yield Step(number, (), partial(time.sleep, STATUS_S))


def _fill(seed: int, number: int, chars: int) -> Effect:
    rng = rng_for(seed, "fill", number)
    ref = f"{rng.getrandbits(64):016x}"
    memo = f"{rng.getrandbits(chars * 4):0{chars}x}"
    return Effect("fills", (number,), (ref, memo, checksum_of(number, ref, memo)))


def _insert(connection: sqlite3.Connection, fill: Effect) -> None:
    connection.execute("INSERT INTO fills VALUES(?, ?, ?, ?)", (*fill.key, *(fill.value or ())))


engine = Engine()
