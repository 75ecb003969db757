"""How a ledger of the workload is connected: the case's settings, its name in the journal, and slow writes.

A race is only found if the window is hit. Between what an operation reads and what it writes lie microseconds;
while stretched, each transaction and each statement that writes waits a little before it starts, for the good ledger
and for a broken one alike.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from crashlab.model.workload import Context
from harness.workloads.run_ledger.journal import ACTOR

_NAP_S: Final = 0.001
_WRITES: Final = ("INSERT", "UPDATE", "ALTER")
BLOCKED_MS: Final = 3


class Wires:
    """The `connect` of one ledger; `connection` is the one that it writes through."""

    def __init__(self, ctx: Context, actor: str, *, stretched: bool = False) -> None:
        self._ctx = ctx
        self._actor = actor
        self._stretched = stretched
        self._connection: sqlite3.Connection | None = None

    def __call__(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """Connect as the ledger asks."""
        connection = self._ctx.connect(*args, **options)
        if options.get("uri"):  # the store's read-only ones look at files that may be damaged
            return connection
        try:
            connection.execute(f"PRAGMA synchronous = {self._ctx.params['synchronous']}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {int(self._ctx.params['wal_autocheckpoint'])}")
            connection.create_function(ACTOR, 0, lambda: self._actor)
            if self._stretched:
                connection.set_trace_callback(_Napping(0.0))
        except BaseException:  # a hang-up's handler raises wherever it meets the program
            connection.close()
            raise
        self._connection = connection
        return connection

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that the ledger writes through; raises sqlite3.ProgrammingError before there is one."""
        if self._connection is None:
            raise sqlite3.ProgrammingError("the ledger has no connection yet")
        return self._connection

    @contextmanager
    def stretched(self, begin_s: float) -> Iterator[None]:
        """Writes are slow inside, and the first transaction is held up for so many seconds before it begins."""
        self.connection.set_trace_callback(_Napping(begin_s))
        try:
            yield
        finally:
            self.at_full_speed()

    def at_full_speed(self) -> None:
        """Writes are slow no longer."""
        self.connection.set_trace_callback(None)

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Somebody else holds the write lock for longer than this ledger waits for it."""
        other = self._ctx.connect(str(self._ctx.database), isolation_level=None)
        try:
            (patience_ms,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
            other.execute("BEGIN IMMEDIATE")
            self.connection.execute(f"PRAGMA busy_timeout = {BLOCKED_MS}")
            try:
                yield
            finally:
                self.connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
                other.execute("ROLLBACK")
        finally:
            other.close()


class _Napping:
    """SQLite calls it as each statement starts."""

    def __init__(self, begin_s: float) -> None:
        self._begin_s = begin_s

    def __call__(self, sql: str) -> None:
        if sql.startswith(_WRITES):
            time.sleep(_NAP_S)
        elif sql.startswith("BEGIN") and self._begin_s:
            time.sleep(self._begin_s)
            self._begin_s = 0.0
