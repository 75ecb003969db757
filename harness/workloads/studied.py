"""What a cadence study needs beside the steps: a reader that polls, and a file that is large from the start."""

import sqlite3
import threading
from collections.abc import Callable

from crashlab.model.seed import rng_for
from crashlab.model.workload import Context
from store.startup import file_uri

_KEYS_A_TRANSACTION = 1000


class PollingReader:
    """A dashboard that reads every `poll_s` or so, each time for `hold_s`, on a connection and a thread of its own.

    Both are seconds of the run's clock; the pauses are drawn between half and one and a half of `poll_s`, so that polls
    neither always meet a checkpoint nor never.
    """

    def __init__(self, ctx: Context, query: str, poll_s: float, hold_s: float) -> None:
        self._ctx = ctx
        self._query = query
        self._poll_s = poll_s
        self._hold_s = hold_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="polling-reader", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop polling and let go of the file."""
        self._stop.set()
        self._thread.join(5.0)

    def _poll(self) -> None:
        rng = rng_for(self._ctx.seed, "polling-reader")
        # Not the lab's connect: the end of a read must not look like the program's commit.
        connection = sqlite3.connect(file_uri(self._ctx.database, "ro"), uri=True, isolation_level=None, timeout=5.0)
        try:
            while not self._ctx.wait(self._stop, self._poll_s * (0.5 + rng.random())):
                connection.execute("BEGIN")
                connection.execute(self._query).fetchall()
                self._ctx.wait(self._stop, self._hold_s)
                connection.execute("COMMIT")
        finally:
            connection.close()


def preload(ctx: Context, rows: int, write: Callable[[range], None]) -> None:
    """Let `write` make the rows of each range, and put all of it into the main file."""
    for first in range(0, rows, _KEYS_A_TRANSACTION):
        write(range(first, min(first + _KEYS_A_TRANSACTION, rows)))
    if rows:
        connection = sqlite3.connect(ctx.database, isolation_level=None)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()
