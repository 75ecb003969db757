"""Those beside the writer: searchers in its process, readers and a rival in processes of their own."""

import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from crashlab.model.seed import rng_for
from crashlab.model.step import Lane, Step
from crashlab.model.workload import Context
from harness.workloads.agent_memory.activity import Agent, search
from harness.workloads.agent_memory.texts import token
from store.message_log.readers import Readers
from store.message_log.schema import INDEXES
from store.startup import file_uri

MAIN: Final = Lane("main")
SEARCHERS: Final = (Lane("searcher-1"), Lane("searcher-2"))
READER: Final = Lane("reader", process=1, pins=True)
RIVAL: Final = Lane("rival", process=2, pins=True)

OPENED, READING = "opened", "reading"
TORN_NOTE: Final = "reader: "

_LIFE_S_MAX: Final = 120.0  # the lab ends these processes when the writer's has ended
_PAUSE_S: Final = 0.001
_HOLD_S: Final = 0.002
_POOL: Final = 2


class Beside:
    """The handle of a process that is not the writer's: connections of its own to the same file."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        ctx.await_signal(OPENED)
        self.pool = Readers(partial(connect_read_only, ctx), _POOL, 5.0)

    def close(self) -> None:
        """Let go of everything."""
        self.pool.close(0.0)


def connect_read_only(ctx: Context) -> sqlite3.Connection:
    """A read-only connection of the lab's."""
    return ctx.connect(
        file_uri(ctx.database, "ro"), uri=True, isolation_level=None, timeout=5.0, check_same_thread=False
    )


def searcher(lane: Lane, agent: Agent, ctx: Context) -> Iterator[Step]:
    """The steps of a thread that searches through the log's own pool."""
    rng = rng_for(ctx.seed, lane.name)
    for number in range(int(ctx.params["searches"])):
        yield Step(number, (), partial(search, agent, rng))


def read_on(beside: Beside, ctx: Context) -> None:
    """Read snapshot after snapshot through a pool, and note each that is not whole."""
    ctx.signal(READING)
    for _ in _while_it_lasts():
        with beside.pool.borrow() as first, beside.pool.borrow() as second:
            for connection in (first, second):
                connection.execute("BEGIN")
                for complaint in torn(connection):
                    ctx.note(f"{TORN_NOTE}{complaint}")
                connection.execute("COMMIT")


def torn(connection: sqlite3.Connection) -> Iterator[str]:
    """What is not whole in the snapshot of an open transaction: yields a line for each disagreement."""
    newest = connection.execute("SELECT message_id, content FROM messages ORDER BY message_id DESC LIMIT 1").fetchall()
    (messages,) = connection.execute("SELECT count(*) FROM messages").fetchone()
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for index in INDEXES:
        if index.table not in there:
            continue
        (indexed,) = connection.execute(f"SELECT count(*) FROM {index.table}_docsize").fetchone()
        if indexed != messages:
            yield f"{indexed} messages in {index.table} beside {messages} in the table, in one snapshot"
        for number, content in newest:
            query = f"SELECT rowid FROM {index.table} WHERE {index.table} MATCH ?"
            if (number,) not in connection.execute(query, (f'"{token(content)}"',)).fetchall():
                yield f"message {number} is not found through {index.table}, in one snapshot"


def hold_snapshot(beside: Beside, ctx: Context) -> None:
    """Pin one snapshot until the end."""
    with beside.pool.borrow() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sessions").fetchall()
        ctx.signal(READING)
        for _ in _while_it_lasts():
            pass


def hold_write_lock(ctx: Context) -> None:
    """Take the write lock again and again, change nothing, let go."""
    connection = ctx.connect(ctx.database, isolation_level=None, timeout=5.0)
    for _ in _while_it_lasts():
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(_HOLD_S)
        connection.execute("ROLLBACK")


def _while_it_lasts() -> Iterator[None]:
    until = time.monotonic() + _LIFE_S_MAX
    while time.monotonic() < until:
        yield
        time.sleep(_PAUSE_S)
