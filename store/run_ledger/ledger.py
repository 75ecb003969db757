"""`RunLedger`: who runs what, in one SQLite file that several processes share."""

import logging
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Sequence
from typing import ClassVar

from store.connection import MEMORY, Clock, Connect
from store.run_ledger.agents import Agents
from store.run_ledger.ending import Ending
from store.run_ledger.progress import Progress
from store.run_ledger.schema import ADDED_COLUMNS, APPLICATION_ID, MIGRATIONS, Column, add_column
from store.run_ledger.starting import DEFAULT_CAP, Starting
from store.schema import Migration, check_not_too_new, schema_version

_log = logging.getLogger(__name__)


class RunLedger(Starting, Progress, Ending, Agents):
    """Runs of protocols, from loading to their end, for all threads of one of several processes.

    The file decides: every change is a compare-and-set in a transaction of its own, and a status in
    `TERMINAL_STATUSES` is final. The constructor touches nothing: `initialize_database()` opens and
    migrates. Usable as a context manager, which does both ends. Do not use it across a fork.

    `instance` is the owner that runs are recorded under; two live ledgers must not share it, and by default
    each gets its own. `max_active_per_agent` must be the same in all processes. `single_process` says that
    no other process uses the file, and fails at the start whatever is still active: never set it where
    siblings run. `connect` opens every connection (a lab passes its own); `clock` gives nanoseconds since
    1970 and must be the same clock in all processes.
    """

    application_id = APPLICATION_ID
    migrations: ClassVar[Sequence[Migration]] = MIGRATIONS

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        connect: Connect = sqlite3.connect,
        clock: Clock = time.time_ns,
        instance: str | None = None,
        max_active_per_agent: int = DEFAULT_CAP,
        single_process: bool = False,
    ) -> None:
        super().__init__(
            db_path,
            connect=connect,
            clock=clock,
            instance=_new_instance() if instance is None else instance,
            max_active_per_agent=max_active_per_agent,
            single_process=single_process,
        )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if schema_version(connection) == self.migrations[-1].version:
            return
        for migration in self.migrations:
            self._apply(connection, migration, self._now())

    def _apply(self, connection: sqlite3.Connection, migration: Migration, now: int) -> None:
        """One migration and its version bump in one transaction; the version is read inside it.

        So of several processes that start at once one does the work and the others find it done.
        """
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = schema_version(connection)
            check_not_too_new(version, self._path or MEMORY, self.migrations)
            if version < migration.version:
                for column in ADDED_COLUMNS.get(migration.version, ()):
                    self._add_column(connection, column)
                for statement in migration.statements:
                    connection.execute(statement, {"now": now})
                connection.execute(f"PRAGMA user_version = {migration.version}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _add_column(self, connection: sqlite3.Connection, column: Column) -> None:
        """Add a column, unless a program that does not bump the version has added it before."""
        add_column(connection, column)

    def _before_close(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._owned:
                _log.warning("close() while %d runs are active here; a reaper will fail them", len(self._owned))
                self._owned.clear()


def _new_instance() -> str:
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
