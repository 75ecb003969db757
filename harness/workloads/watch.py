"""Watching the store's checkpoints from inside a run, and making one of them fail when a case asks for it.

What is seen goes into the log as notes, where the invariants find it after the fault. The notes' forms are
made and read here only.
"""

import logging
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from crashlab.model.history import History
from crashlab.model.workload import Context
from store import CheckpointRound, StateManager
from store.checkpoint import TRUNCATE

LAG_INTERVALS = 3.0
"""So many intervals of the stepped clock may pass without a checkpoint; then the engine waits for one."""

INCOMPLETE_MAX = 3
"""So many checkpoints in a row may leave frames behind although nobody is known to hold a snapshot."""

OVERDUE, STUCK = "overdue: ", "stuck: "

LOOP_THREAD = "wal-checkpoint"
_POLL_S = 0.0005


class Round(NamedTuple):
    """One checkpoint as the log has it; `raised` if SQLite answered with an error."""

    ns: int
    mode: str
    busy: int = 0
    log_frames: int = 0
    checkpointed: int = 0
    raised: bool = False

    @property
    def backlog_frames(self) -> int:
        """Frames that are not in the main file."""
        return max(self.log_frames - self.checkpointed, 0)


class Said(NamedTuple):
    """A record of level WARNING or above that the store logged."""

    ns: int
    level: str
    text: str


class Watch:
    """The log's side of a run: what the checkpoints did, and whether they keep up with the engine.

    Made before the loop is started, from the case's parameters.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._interval_s = float(ctx.params["checkpoint_interval_s"])
        self._patience_s = float(ctx.params["patience_s"])
        self._pinned = ctx.params["reader"] == "pinned"
        self._fail_round = int(ctx.params["fail_round"])
        self._fail_at_close = bool(ctx.params["fail_at_close"])
        self._periodic = 0
        self._attempted_at = ctx.clock()
        self._due_at: float | None = None  # until when the loop waits, None while it does not
        self._incomplete = 0
        self._snapshot_of_our_own = False
        self._complained = False

    def must_fail(self, mode: str) -> bool:
        """Count a checkpoint that is about to run; True if the case wants it to fail."""
        if mode == TRUNCATE:
            return self._fail_at_close
        self._periodic += 1
        return self._periodic == self._fail_round

    def raised(self, mode: str, *, made_to: bool) -> None:
        """A checkpoint raised."""
        self._attempted_at = self._ctx.clock()
        self._ctx.note(f"checkpoint {mode} {'made to raise' if made_to else 'raised'}")

    def ran(self, done: CheckpointRound) -> None:
        """A checkpoint returned."""
        self._attempted_at = self._ctx.clock()
        pinned = self._pinned or self._snapshot_of_our_own
        self._incomplete = self._incomplete + 1 if done.backlog_frames and not pinned else 0
        self._ctx.note(f"checkpoint {done.mode} {done.busy} {done.log_frames} {done.checkpointed}")
        if self._incomplete == INCOMPLETE_MAX + 1:
            self._ctx.note(f"{STUCK}{self._incomplete} checkpoints in a row left frames, now {done.backlog_frames}")

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """The loop's wait on the stepped clock, and until when."""
        self._due_at = self._ctx.clock() + seconds
        try:
            return self._ctx.wait(event, seconds)
        finally:
            self._due_at = None

    @contextmanager
    def own_snapshot(self) -> Iterator[None]:
        """While the engine itself reads a snapshot (a backup), checkpoints cannot finish."""
        self._snapshot_of_our_own = True
        try:
            yield
        finally:
            self._snapshot_of_our_own = False

    def pace(self) -> None:
        """Let a late loop catch up; called by the engine between two steps.

        The stepped clock runs faster than a busy machine's scheduler, so lateness on that clock alone
        would be the machine's. A loop that is late here has `patience_s` real seconds, in which the engine
        does nothing at all, to run one checkpoint. Only then is it noted as overdue, once.
        """
        if self._interval_s <= 0 or self._complained or not self._late():
            return
        until = time.monotonic() + self._patience_s
        while self._late():
            if time.monotonic() > until:
                self._complained = True
                since = self._ctx.clock() - self._attempted_at
                self._ctx.note(f"{OVERDUE}no checkpoint for {since:.3f} s, interval {self._interval_s} s")
                self.look_for_loop()
                return
            time.sleep(_POLL_S)

    def _late(self) -> bool:
        now, due_at = self._ctx.clock(), self._due_at
        # A loop that came late to its wait is not due yet, and will not be while the engine stands still.
        waits_in_time = due_at is not None and now < due_at <= now + self._interval_s
        return now - self._attempted_at > LAG_INTERVALS * self._interval_s and not waits_in_time

    def look_for_loop(self) -> None:
        """Note it if the loop's thread is gone; called while it has not been told to stop."""
        if self._interval_s > 0 and not any(thread.name == LOOP_THREAD for thread in threading.enumerate()):
            self._ctx.note("loop: its thread is gone")


class WatchedStore(StateManager):
    """A store whose checkpoints are watched; `watched` mixes it into any class of stores."""

    watch: Watch | None = None

    def checkpoint_now(self) -> None:
        """Run what the loop runs each time, on the caller's thread."""
        self._periodic_round()

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> CheckpointRound:
        watch = self.watch
        if watch is None:
            return super()._checkpoint(connection, mode)
        fails = watch.must_fail(mode)
        try:
            if fails:
                connection.execute("BEGIN IMMEDIATE")
            done = super()._checkpoint(connection, mode)
        except sqlite3.Error:
            watch.raised(mode, made_to=fails)
            raise
        finally:
            if fails:
                connection.execute("ROLLBACK")
        watch.ran(done)
        return done


def watched(store_class: type[StateManager]) -> type[WatchedStore]:
    """Return the class of stores with its checkpoints watched."""
    return type(f"Watched{store_class.__name__}", (WatchedStore, store_class), {})


class StoreNotes(logging.Handler):
    """Puts what the store logs at WARNING and above into the run's log."""

    def __init__(self, ctx: Context) -> None:
        super().__init__(logging.WARNING)
        self._ctx = ctx
        self._logger = logging.getLogger("store")
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note one record."""
        error = record.exc_info[1] if record.exc_info else None
        because = f" ({type(error).__name__}: {error})" if error else ""
        self._ctx.note(f"store {record.levelname} {record.getMessage()[:300]}{because}")

    def detach(self) -> None:
        """Listen no longer."""
        self._logger.removeHandler(self)


_ROUND = re.compile(r"checkpoint (\w+) (-?\d+) (-?\d+) (-?\d+)")
_RAISED = re.compile(r"checkpoint (\w+) (made to raise|raised)")
_SAID = re.compile(r"store (\w+) (.*)", re.DOTALL)


def rounds(history: History) -> Iterator[Round]:
    """Yield the checkpoints of process 0 in order, those that raised too."""
    for note in history.notes:
        if note.process:
            continue
        if match := _ROUND.fullmatch(note.text):
            yield Round(note.ns, match[1], int(match[2]), int(match[3]), int(match[4]))
        elif match := _RAISED.fullmatch(note.text):
            yield Round(note.ns, match[1], raised=True)


def made_to_fail(history: History) -> int:
    """Return how many checkpoints the case itself made fail."""
    return sum(note.text.startswith("checkpoint ") and note.text.endswith("made to raise") for note in history.notes)


def said(history: History) -> Iterator[Said]:
    """Yield what the store logged at WARNING and above in process 0."""
    for note in history.notes:
        if not note.process and (match := _SAID.fullmatch(note.text)):
            yield Said(note.ns, match[1], match[2])


def complaints(history: History, start: str) -> Iterator[str]:
    """Yield what the watch complained of: `OVERDUE` or `STUCK`."""
    return (note.text[len(start) :] for note in history.notes if not note.process and note.text.startswith(start))


def loop_is_gone(history: History) -> bool:
    """True if the loop's thread was missed while it should have been there."""
    return any(note.text == "loop: its thread is gone" for note in history.notes)
