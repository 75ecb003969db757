"""The periodic checkpoint loop and the final checkpoint of `close()`.

PASSIVE on the periodic path: it waits for nobody. TRUNCATE only at the end. Both report through
the row of `PRAGMA wal_checkpoint` (https://sqlite.org/pragma.html#pragma_wal_checkpoint), whose
`busy` column says whether SQLite had to give up, not whether the work is done: with a reader pinning
a snapshot PASSIVE returns busy=0 and `checkpointed < log_frames`, and TRUNCATE returns busy=1 and
raises nothing.
"""

import logging
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Final, NamedTuple

from store.connection import Database
from store.errors import StoreIdentity, StoreValidation
from store.validation import number

_log = logging.getLogger(__name__)

PASSIVE: Final = "PASSIVE"
TRUNCATE: Final = "TRUNCATE"
WINDOW: Final = 512  # samples in the aggregate record

Wait = Callable[[threading.Event, float], bool]


class CheckpointRound(NamedTuple):
    """One checkpoint: SQLite's row, and how long it took (milliseconds, one decimal)."""

    mode: str
    busy: int
    log_frames: int
    checkpointed: int
    elapsed_ms: float

    @property
    def backlog_frames(self) -> int:
        """Frames of the WAL that are not in the main file; 0 where there is no WAL (-1, -1)."""
        return max(self.log_frames - self.checkpointed, 0)


class Checkpoints(Database):
    """The thread `wal-checkpoint`, started on request only, and what it measured."""

    PERIODIC_MODE: ClassVar[str] = PASSIVE
    JOIN_S: ClassVar[float] = 5.0  # how long close() waits for the thread
    TRUNCATE_WAIT_S: ClassVar[float] = 1.0  # how long close() waits for other processes' locks
    STALLED_ROUNDS: ClassVar[int] = 3  # incomplete rounds in a row before the loop says so

    def __init__(self, *args: Any, wait: Wait = threading.Event.wait, **options: Any) -> None:
        super().__init__(*args, **options)
        if not callable(wait):
            raise StoreValidation(f"wait must be callable as wait(event, seconds), not {type(wait).__name__}")
        self._wait = wait
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._samples: deque[float] = deque(maxlen=WINDOW)
        self._incomplete_rounds = 0

    def start_wal_checkpoint_loop(self, interval_s: float) -> None:
        """Start the daemon thread that runs a PASSIVE checkpoint every `interval_s` seconds.

        Zero or less, and `:memory:`, start nothing and say so at INFO; there is no minimum. A second
        call changes nothing and warns. The loop ends with `close()`. Raises StoreValidation for what
        is not a finite number of seconds, StoreClosed when the store is not open.
        """
        seconds = number(interval_s, "interval_s")
        if seconds > threading.TIMEOUT_MAX:
            raise StoreValidation(f"interval_s must be at most {threading.TIMEOUT_MAX:.0f} seconds, not {seconds!r}")
        with self._lock:
            self._require()
            if self._thread is not None:
                _log.warning("wal_checkpoint loop is already running; this call changes nothing")
                return
            if seconds <= 0 or self._path is None:
                _log.info("wal_checkpoint disabled")
                return
            thread = threading.Thread(
                target=self._run_checkpoint_loop, args=(float(seconds),), name="wal-checkpoint", daemon=True
            )
            thread.start()
            self._thread = thread

    def _run_checkpoint_loop(self, interval_s: float) -> None:
        try:
            while not self._wait(self._stop, interval_s):
                if self._stop.is_set():  # an injected wait may not look at the event
                    return
                self._periodic_round()
        except Exception:  # only the wait can get here, and repeating it would spin
            _log.exception("wal_checkpoint loop ended: its wait failed")

    def _periodic_round(self) -> None:
        try:
            with self._checkpoint_guard() as may_run:
                if not may_run:
                    return
                if self._retired is not None:
                    self._stop.set()
                    return
                done = self._checkpoint(self._require(), self.PERIODIC_MODE)
        except StoreIdentity:  # logged; nothing is left to checkpoint
            self._retirement_told = False
            self._stop.set()
        except Exception as error:
            self._on_round_error(error)
        else:
            self._samples.append(done.elapsed_ms)
            _log_round(done)
            self._watch_backlog(done)

    def _checkpoint_guard(self) -> AbstractContextManager[bool]:
        """Hold the store's lock for one periodic checkpoint; False when the store is closing."""
        return self._locked_unless_stopping()

    @contextmanager
    def _locked_unless_stopping(self) -> Iterator[bool]:
        # Polls, because close() may run in a signal handler of the thread that holds the lock:
        # a plain acquire would keep close() in its join until the join's limit.
        while not self._lock.acquire(timeout=0.05):
            if self._stop.is_set():
                yield False
                return
        try:
            yield not self._stop.is_set()
        finally:
            self._lock.release()

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> CheckpointRound:
        """One checkpoint, unless the files were replaced (StoreIdentity); the caller holds the lock."""
        self._check_identity(connection)
        start = time.perf_counter_ns()
        busy, log_frames, checkpointed = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()[0]
        elapsed_ms = round((time.perf_counter_ns() - start) / 1e6, 1)
        return CheckpointRound(mode, busy, log_frames, checkpointed, elapsed_ms)

    def _on_round_error(self, error: Exception) -> None:
        """Say that a round failed; the loop goes on."""
        _log.error("wal_checkpoint failed; the loop goes on", exc_info=error, extra={"mode": self.PERIODIC_MODE})

    def _watch_backlog(self, done: CheckpointRound) -> None:
        """Warn when rounds in a row succeeded without finishing: somebody pins a snapshot."""
        if done.backlog_frames == 0:
            self._incomplete_rounds = 0
            return
        self._incomplete_rounds += 1
        if self._incomplete_rounds % self.STALLED_ROUNDS == 0:
            _log.warning(
                "wal_checkpoint incomplete for %d rounds: %d frames are only in the WAL; "
                "a reader is holding an old snapshot open",
                self._incomplete_rounds,
                done.backlog_frames,
                extra={"backlog_frames": done.backlog_frames, "rounds": self._incomplete_rounds},
            )

    def _stop_checkpoint_loop(self) -> None:
        """Stop the thread, waiting at most `JOIN_S`, and log the aggregate of its samples."""
        self._stop.set()
        thread = self._thread
        if thread is None:
            return
        if thread is not threading.current_thread():
            thread.join(self.JOIN_S)
            if thread.is_alive():
                _log.warning("wal_checkpoint thread did not stop within %.1f s; closing without it", self.JOIN_S)
        _log.info("wal_checkpoint aggregate", extra=aggregate(self._samples))

    def _final_checkpoint(self, connection: sqlite3.Connection) -> None:
        """TRUNCATE, retried until it succeeds or `TRUNCATE_WAIT_S` has passed; raises what SQLite raises.

        SQLite's own busy timeout is switched off: it applies to each lock anew, so that several
        readers together could hold a console's whole grace.
        """
        with self._lock:
            connection.execute("PRAGMA busy_timeout = 0")
            deadline = time.monotonic() + self.TRUNCATE_WAIT_S
            done = self._checkpoint(connection, TRUNCATE)
            while done.busy and time.monotonic() < deadline:
                time.sleep(0.02)
                done = self._checkpoint(connection, TRUNCATE)
        self._report_final_checkpoint(done)

    def _report_final_checkpoint(self, done: CheckpointRound) -> None:
        """Log the outcome: busy=1 raises nothing, so it must be looked at."""
        if not done.busy:
            _log_round(done)
            return
        _log.warning(
            "wal_checkpoint at close was blocked by another connection: %d frames are only in the WAL",
            done.backlog_frames,
            extra={**done._asdict(), "backlog_frames": done.backlog_frames},
        )


def aggregate(samples: Sequence[float] | deque[float]) -> dict[str, float | int | None]:
    """`n`, `p50`, `p95` (nearest rank) and `max` of milliseconds; None for each where n is 0."""
    ordered = sorted(samples)
    n = len(ordered)

    def rank(share: float) -> float | None:
        return ordered[max(math.ceil(share * n) - 1, 0)] if n else None

    return {"n": n, "p50": rank(0.50), "p95": rank(0.95), "max": rank(1.0)}


def _log_round(done: CheckpointRound) -> None:
    _log.info("wal_checkpoint", extra=done._asdict())
