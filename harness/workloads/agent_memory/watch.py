"""Watching the message log's checkpoints from inside a run, and making one fail when a case asks for it.

The notes have the forms that `harness.workloads.watch` reads.
"""

import sqlite3

from crashlab.model.workload import Context
from store import CheckpointRound, MessageLog


class CheckpointWatch:
    """Notes every checkpoint; the case's `fail_checkpoint`-th (from 1, close included) is made to fail."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._fails_at = int(ctx.params["fail_checkpoint"])
        self._count = 0

    def must_fail(self) -> bool:
        """Count a checkpoint that is about to run; True if the case wants it to fail."""
        self._count += 1
        return self._count == self._fails_at

    def raised(self, mode: str, *, made_to: bool) -> None:
        """A checkpoint raised."""
        self._ctx.note(f"checkpoint {mode} {'made to raise' if made_to else 'raised'}")

    def ran(self, done: CheckpointRound) -> None:
        """A checkpoint returned."""
        self._ctx.note(f"checkpoint {done.mode} {done.busy} {done.log_frames} {done.checkpointed}")


class WatchedLog(MessageLog):
    """A message log whose checkpoints are watched; `watched` mixes it into any class of them."""

    watch: CheckpointWatch | None = None

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> CheckpointRound:
        watch = self.watch
        if watch is None:
            return super()._checkpoint(connection, mode)
        fails = watch.must_fail()
        try:
            if fails:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sessions").fetchall()
            done = super()._checkpoint(connection, mode)
        except sqlite3.Error:
            watch.raised(mode, made_to=fails)
            raise
        finally:
            if fails:
                connection.execute("ROLLBACK")
        watch.ran(done)
        return done


def watched(log_class: type[MessageLog]) -> type[WatchedLog]:
    """Return the class of logs with its checkpoints watched."""
    return type(f"Watched{log_class.__name__}", (WatchedLog, log_class), {})
