"""What the workloads share: connections with the case's settings, the stepped clock, a dashboard, sizes of files."""

import os
import sqlite3
import time
from typing import Any

from crashlab.model.workload import Context
from store.startup import file_uri

OPENED, PINNED = "opened", "pinned"
_HELD_S_MAX = 120.0


class CaseConnect:
    """The lab's `connect` with the case's `synchronous` and `wal_autocheckpoint` on every connection that writes."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.latest: sqlite3.Connection | None = None
        """The connection that was made last, if it writes."""

    def __call__(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """As `sqlite3.connect`."""
        connection = self._ctx.connect(*args, **options)
        if not options.get("uri"):  # the store's read-only ones look at files that may be damaged
            try:
                connection.execute(f"PRAGMA synchronous = {self._ctx.params['synchronous']}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {int(self._ctx.params['wal_autocheckpoint'])}")
            except BaseException:  # a hang-up's handler raises anywhere, and nobody else has the connection yet
                connection.close()
                raise
            self.latest = connection
        return connection


class Nanoseconds:
    """The stepped clock as the stores want it, `later_ns` ahead."""

    def __init__(self, ctx: Context, later_ns: int = 0) -> None:
        self._ctx = ctx
        self._later_ns = later_ns

    def __call__(self) -> int:
        """Nanoseconds since 1970."""
        return round(self._ctx.clock() * 1e9) + self._later_ns


class Dashboard:
    """A process of its own with one read-only connection, whose snapshot is held open."""

    def __init__(self, ctx: Context) -> None:
        ctx.await_signal(OPENED)
        self.connection = ctx.connect(file_uri(ctx.database, "ro"), uri=True, isolation_level=None, timeout=5.0)

    def hold_snapshot(self, ctx: Context, table: str) -> None:
        """Read `table` in a transaction, say so, and keep it open until the lab ends this process."""
        self.connection.execute("BEGIN")
        self.connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        ctx.signal(PINNED)
        until = time.monotonic() + _HELD_S_MAX
        while time.monotonic() < until:
            time.sleep(0.05)

    def close(self) -> None:
        """Let go of the snapshot."""
        self.connection.close()


def size_of(path: str) -> int:
    """Return a file's size, 0 if there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
