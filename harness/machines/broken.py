"""Broken twins of the three stores, one bug each, that the machines must see.

Some are wrong at once, some only when the process dies between two statements, some only when the power goes,
some only after an I/O error: each kind of rule has a bug that nothing else finds.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, ClassVar

from store import HaltReason, Holdings, MessageLog, Run, RunLedger, StateManager
from store.books.start import ENGINE_STATUS, RUNNING
from store.message_log.schema import MIGRATIONS, PLAIN, triggers
from store.run_ledger import STATUSES
from store.run_ledger.statuses import CLOSED, LOADING
from store.schema import Migration

# -- the books -----------------------------------------------------------------------------------------------


class UndoError(Exception):
    """Rolls back what was only tried."""


class FillApartFromLedger(StateManager):
    """A fill is one transaction, its ledger entries and its order's state are the next."""

    def record_order_fill(self, fill_id: str, **details: Any) -> int:
        """What the good store writes, in two transactions."""
        if self._in_block or self.get_fill(fill_id) is not None:
            return super().record_order_fill(fill_id, **details)
        try:
            with self.transaction():
                row = super().record_order_fill(fill_id, **details)
                fills = self._read("SELECT * FROM fills WHERE fill_id = ?", (fill_id,))
                entries = self._read("SELECT * FROM inventory_ledger WHERE fill_id = ?", (fill_id,))
                orders = self._read("SELECT * FROM orders WHERE order_id = ?", (details["order_id"],))
                raise UndoError
        except UndoError:
            self._put("fills", fills)
            with self.transaction():
                self._put("inventory_ledger", entries)
                self._put("orders", orders)
        return row

    def _put(self, table: str, rows: list[tuple[object, ...]]) -> None:
        with self.transaction():
            for row in rows:
                marks = ", ".join("?" * len(row))
                columns = [name for _, name, *_ in self._read(f"PRAGMA table_info({table})")]
                kept = ", ".join(f"{name} = excluded.{name}" for name in columns)
                self._write(f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE SET {kept}", row)


class HaltOnlyIfDifferent(StateManager):
    """The halt is written only when its reason is not the one that is there."""

    def _write_halt(self, session_id: int, reason: HaltReason, detail: str) -> None:
        if self.get_engine_state("halt.reason") != reason:
            super()._write_halt(session_id, reason, detail)


class TotalWithoutOverlay(StateManager):
    """A session's total forgets the capital that came in during it."""

    def _total(self, opening: Holdings, fills_only: Holdings, overlay: Holdings) -> Holdings:
        return opening.plus(fills_only)


class StartInPieces(StateManager):
    """The steps of a session's start are transactions of their own."""

    def start_session(self, parent: int | None = None) -> int:
        """Each step commits."""
        self.reconcile_sessions()
        self.cancel_orphans()
        session_id = self.create_session(parent)
        self.set_engine_state(ENGINE_STATUS, RUNNING)
        return session_id


class NeverSynced(StateManager):
    """`synchronous=OFF` on the store's connection, whatever its program asked for."""

    def _open_connection(self) -> sqlite3.Connection:
        connection = super()._open_connection()
        connection.execute("PRAGMA synchronous = OFF")
        return connection


# -- the message log -----------------------------------------------------------------------------------------


class NoUpdateTrigger(MessageLog):
    """The words of an edited message are not put into the index."""

    migrations: ClassVar[Sequence[Migration]] = tuple(
        migration._replace(
            statements=tuple(text for text in migration.statements if text != triggers(PLAIN.table)["update"])
        )
        for migration in MIGRATIONS
    )


class CompactInTwo(MessageLog):
    """A compaction deletes in one transaction and writes the summary in the next."""

    def compact(self, session_id: int, summary: str, *, keep_last: int) -> int:
        """Deletes, then writes the summary."""
        mine = self.messages(session_id)
        gone = mine[: len(mine) - keep_last]
        with self.transaction():
            for message in gone[:-1]:
                self._write("DELETE FROM messages WHERE message_id = ?", (message.message_id,))
        changed = super().compact(session_id, summary, keep_last=keep_last)
        return max(len(gone) - 1, 0) + changed


class BatchRowByRow(MessageLog):
    """Each message of a batch is a transaction of its own."""

    def append_many(self, session_id: int, messages: Any) -> list[int]:
        """Appends one after the other."""
        pairs = list(messages)
        return [self.append(session_id, role, content) for role, content in pairs] or super().append_many(
            session_id, []
        )


class WalRemovedAtStart(MessageLog):
    """A `-wal` that is there at the start is taken for a left-over and removed."""

    def initialize_database(self) -> None:
        """Removes it first."""
        if self._path is not None and not self.is_open:
            self._path.with_name(self._path.name + "-wal").unlink(missing_ok=True)
        super().initialize_database()


# -- the run ledger ------------------------------------------------------------------------------------------


class CancelOverwrites(RunLedger):
    """A late cancel turns `completed` into `closed`."""

    _CANCELLABLE: ClassVar[Sequence[str]] = STATUSES


class LoaderRevives(RunLedger):
    """A loader that finishes after the cancel makes the run running again."""

    _LOADABLE: ClassVar[Sequence[str]] = (LOADING, CLOSED)


class ArchivesFirst(RunLedger):
    """A run is archived in memory before its terminal row is written."""

    def _end(self, run_id: str, status: str, sources: Sequence[str], **options: Any) -> Run:
        run = self._existing(run_id)
        if run.status in sources:
            self._archive(run._replace(status=status, ended_at=self._now()))
        return super()._end(run_id, status, sources, **options)


class BlanketFail(RunLedger):
    """Every start fails what is active, whoever runs it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "single_process": True})


BOOKS: tuple[type[StateManager], ...] = (
    FillApartFromLedger,
    HaltOnlyIfDifferent,
    TotalWithoutOverlay,
    StartInPieces,
    NeverSynced,
)
MESSAGES: tuple[type[MessageLog], ...] = (NoUpdateTrigger, CompactInTwo, BatchRowByRow, WalRemovedAtStart)
RUNS: tuple[type[RunLedger], ...] = (CancelOverwrites, LoaderRevives, ArchivesFirst, BlanketFail)
