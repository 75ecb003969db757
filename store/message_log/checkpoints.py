"""The write counter: a checkpoint every so many commits, by the thread that wrote.

There is no thread: the caller of every n-th write pays for the checkpoint. A checkpoint that fails has lost
nothing, since the write before it is committed; so it is logged at WARNING and never raised.
"""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from store.checkpoint import PASSIVE, TRUNCATE, CheckpointRound
from store.errors import StoreIdentity, StoreValidation
from store.opening import Opening
from store.validation import did_you_mean, integer, shown

_log = logging.getLogger(__name__)

CHECKPOINT_MODES: Final = (PASSIVE, TRUNCATE)
DEFAULT_EVERY: Final = 50


class WriteCheckpoints(Opening):
    """Counts commits, and checkpoints every `checkpoint_every` of them in `checkpoint_mode`.

    0 for `checkpoint_every` never does; SQLite's own auto-checkpoint remains. PASSIVE waits for nobody;
    TRUNCATE waits for every reader, up to `BUSY_TIMEOUT_S`.
    """

    CLOSE_WAIT_S: ClassVar[float] = 1.0  # how long close() waits for other connections' locks
    STALLED_ROUNDS: ClassVar[int] = 3  # incomplete rounds in a row before it is said

    def __init__(
        self, *args: Any, checkpoint_mode: str = PASSIVE, checkpoint_every: int = DEFAULT_EVERY, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._mode = _known(checkpoint_mode, "checkpoint_mode")
        self._every = integer(checkpoint_every, "checkpoint_every")
        self._writes = 0
        self._incomplete_rounds = 0

    @property
    def writes(self) -> int:
        """Transactions committed through this object since it was made."""
        return self._writes

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all writes inside one transaction: all of them, or (after any exception) none.

        Holds the lock throughout, so keep it short. A nested call joins the outer transaction. Counts as
        one write.
        """
        with self._lock:
            outermost = not self._in_block
            with super().transaction():
                yield
            if outermost:
                self._committed()

    def checkpoint(self, mode: str = PASSIVE) -> CheckpointRound | None:
        """Run one checkpoint now; None when it failed, which is logged.

        Raises StoreClosed, StoreValidation, and StoreIdentity when the files were replaced.
        """
        _known(mode, "mode")
        with self._lock:
            return self._try_checkpoint(self._require(), mode, "on request")

    def _committed(self) -> None:
        """Count a commit; every n-th time, checkpoint."""
        self._writes += 1
        connection = self._connection  # None when a signal handler has just closed the store
        if connection is not None and self._every and self._writes % self._every == 0:
            self._try_checkpoint(connection, self._mode, "periodic")

    def _try_checkpoint(self, connection: sqlite3.Connection, mode: str, occasion: str) -> CheckpointRound | None:
        if self._path is None:
            return None
        try:
            done = self._checkpoint(connection, mode)
        except StoreIdentity:  # nothing is left to checkpoint, and the last commits are nowhere
            raise
        except Exception as error:
            self._on_checkpoint_error(error, mode, occasion)
            return None
        self._report(done, occasion)
        return done

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> CheckpointRound:
        self._check_identity(connection)
        start = time.perf_counter_ns()
        busy, log_frames, checkpointed = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()[0]
        return CheckpointRound(mode, busy, log_frames, checkpointed, round((time.perf_counter_ns() - start) / 1e6, 1))

    def _on_checkpoint_error(self, error: Exception, mode: str, occasion: str) -> None:
        """Say that a checkpoint failed; the log goes on."""
        _log.warning("wal_checkpoint failed (%s, %s): %s", occasion, mode, error, exc_info=error, extra={"mode": mode})

    def _report(self, done: CheckpointRound, occasion: str) -> None:
        """Log the outcome. busy=1 raises nothing, and busy=0 is not "done": a reader may pin a snapshot."""
        extra = {**done._asdict(), "backlog_frames": done.backlog_frames}
        if done.busy:
            _log.warning(
                "wal_checkpoint was blocked by another connection (%s, %s): %d frames are only in the WAL",
                occasion,
                done.mode,
                done.backlog_frames,
                extra=extra,
            )
            return
        _log.info("wal_checkpoint", extra=extra)
        self._incomplete_rounds = self._incomplete_rounds + 1 if done.backlog_frames else 0
        if self._incomplete_rounds and self._incomplete_rounds % self.STALLED_ROUNDS == 0:
            _log.warning(
                "wal_checkpoint incomplete %d times in a row: %d frames are only in the WAL; "
                "a reader is holding an old snapshot open",
                self._incomplete_rounds,
                done.backlog_frames,
                extra=extra,
            )

    def _final_checkpoint(self, connection: sqlite3.Connection) -> None:
        """TRUNCATE, retried until it succeeds or `CLOSE_WAIT_S` has passed; failures are logged.

        SQLite's own busy timeout is switched off: it applies to each lock anew, so that several readers
        together could hold the close for long.
        """
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            deadline = time.monotonic() + self.CLOSE_WAIT_S
            done = self._checkpoint(connection, TRUNCATE)
            while done.busy and time.monotonic() < deadline:
                time.sleep(0.02)
                done = self._checkpoint(connection, TRUNCATE)
        except StoreIdentity:
            raise
        except Exception as error:
            self._on_checkpoint_error(error, TRUNCATE, "close")
        else:
            self._report(done, "close")


def _known(mode: object, what: str) -> str:
    if not isinstance(mode, str) or mode not in CHECKPOINT_MODES:
        raise StoreValidation(f"{what} {shown(mode)} is unknown; {did_you_mean(mode, CHECKPOINT_MODES)}")
    return mode
