"""A bounded pool of read-only connections: searches do not wait for the writer, nor for each other."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from store.errors import StoreClosed, StoreError


class Readers:
    """At most `size` connections from `open_reader`, each opened when it is first needed.

    A connection that met an SQLite error is closed and not used again.
    """

    def __init__(self, open_reader: Callable[[], sqlite3.Connection], size: int, wait_s: float) -> None:
        self._open_reader = open_reader
        self._size = size
        self._wait_s = wait_s
        self._changed = threading.Condition()  # guards the three below
        self._idle: list[sqlite3.Connection] = []
        self._count = 0  # idle and lent
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """Lend one connection; fetch every row inside, an unfinished cursor would pin a snapshot.

        Raises StoreError when all stay lent for `wait_s` seconds, StoreClosed after `close()`.
        """
        connection = self._take()
        good = False
        try:
            yield connection
            good = True
        except sqlite3.Error:
            raise
        except BaseException:
            good = True
            raise
        finally:
            self._give_back(connection, good)

    def close(self, wait_s: float) -> int:
        """Close the idle ones, and wait at most `wait_s` for lent ones; returns how many are still lent.

        Those are closed when they come back.
        """
        with self._changed:
            self._closed = True
            self._close_idle()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._count == 0, timeout=wait_s)
            return self._count

    def _take(self) -> sqlite3.Connection:
        deadline = time.monotonic() + self._wait_s
        with self._changed:
            while True:
                if self._closed:
                    raise StoreClosed("the message log is closed; its readers are gone")
                if self._idle:
                    return self._idle.pop()
                if self._count < self._size:
                    self._count += 1
                    break
                if not self._changed.wait(max(deadline - time.monotonic(), 0)) and time.monotonic() >= deadline:
                    raise StoreError(
                        f"all {self._size} readers were busy for {self._wait_s:g} s; "
                        "open the message log with more readers"
                    )
        try:
            return self._open_reader()
        except BaseException:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            raise

    def _give_back(self, connection: sqlite3.Connection, good: bool) -> None:
        with self._changed:
            if good and not self._closed:
                self._idle.append(connection)
            else:
                connection.close()
                self._count -= 1
            self._changed.notify_all()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
            self._count -= 1
