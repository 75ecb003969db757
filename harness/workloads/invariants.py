"""What must hold of the store beside its rows: how it checkpoints, closes, reports and backs up.

Judged after the restart, from the log. Each of these has a planted bug in `harness.planted` that breaks it
and it alone names.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from crashlab.model.contract import FaultClass
from crashlab.model.history import History, PhaseRecord, StepRecord, StepState
from crashlab.model.phase import MARK_CHECKPOINT, MARK_CLOSE, MARK_CONNECTION_CLOSE
from crashlab.model.step import Row
from crashlab.model.workload import Check
from harness.workloads.activity import TABLES
from harness.workloads.io_errors import io_error_surfaces
from harness.workloads.watch import OVERDUE, STUCK, complaints, loop_is_gone, made_to_fail, rounds, said
from store.checkpoint import PASSIVE, TRUNCATE
from store.schema import APPLICATION_ID
from store.startup import file_uri

if TYPE_CHECKING:
    from harness.workloads.system_metrics import Engine

NAMED_TABLES = frozenset({"store_identity", "sessions", *(table.name for table in TABLES)})


def cadence(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """With a loop, a checkpoint runs at least every three intervals of the stepped clock.

    No false alarm under load: a loop that is late on the stepped clock is given real seconds to catch up
    before it counts (`Watch.pace`).
    """
    yield from complaints(history, OVERDUE)


def exposure_bounded(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """Checkpoints leave nothing behind, unless somebody is known to hold a snapshot.

    With `cadence` this bounds what lives only in the WAL: one interval of writes on average, three at most.
    """
    yield from complaints(history, STUCK)


def periodic_passive(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """Outside close() every checkpoint is PASSIVE: the others wait for readers and block writers."""
    close = _close(history)
    for phase in history.phases:
        if phase.process or phase.name != MARK_CHECKPOINT or phase.detail == PASSIVE:
            continue
        if close is None or phase.enter_seq < close.enter_seq:
            yield f"wal_checkpoint({phase.detail}) on the periodic path"


def no_failed_round(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """No checkpoint raises of itself: the lock keeps it off other threads' transactions and cursors."""
    raised = [done for done in rounds(history) if done.raised]
    if len(raised) > made_to_fail(history):
        yield f"{len(raised)} checkpoints raised, {made_to_fail(history)} were made to: {_last_words(history)}"


def loop_alive(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """The loop lives until close(), and a round that fails is logged at ERROR."""
    if loop_is_gone(history):
        yield "the checkpoint loop's thread had ended before close()"
    failed = [done for done in rounds(history) if done.raised and done.mode != TRUNCATE]
    errors = [record for record in said(history) if record.level == "ERROR"]
    # The record follows the failure by some instructions, in which a kill may come. Afterwards it must be
    # there: close() joins the loop.
    if failed and _closed(history) is not None and len(errors) < len(failed):
        yield f"{len(failed)} rounds failed, {len(errors)} errors were logged"


def backlog_reported(engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A loop whose rounds succeed without finishing says so, with the backlog."""
    limit = engine.store.STALLED_ROUNDS
    periodic = [done for done in rounds(history) if done.mode == PASSIVE and not done.raised]
    run = longest = 0
    # The warning follows the round; only rounds that another one has followed are certain to have had time.
    for done in periodic if _closed(history) is not None else periodic[:-1]:
        run = run + 1 if done.backlog_frames else 0
        longest = max(longest, run)
    # close() joins the loop first, whose last warning may come as late as that, and then says what became of its own.
    final = next((done.ns for done in rounds(history) if done.mode == TRUNCATE), float("inf"))
    told = [record for record in said(history) if record.ns < final]
    if longest >= limit and not told:
        yield f"{longest} rounds in a row left a backlog and nothing was logged, expected a warning after {limit}"


def close_truncates(engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """After a clean close with no other reader the WAL is absent or empty."""
    left = _closed(history)
    blocked = engine.reader_pins or (made_to_fail(history) and not _truncated(history))
    if left and not blocked:
        yield f"the -wal holds {left} bytes after close()"


def close_reports(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A final checkpoint that is blocked or raises is logged: busy=1 raises nothing, so it must be looked at."""
    final = [done for done in rounds(history) if done.mode == TRUNCATE]
    if _closed(history) is None or not final:
        return
    last = final[-1]
    close = _close(history)
    told = [record for record in said(history) if close is not None and record.ns >= close.enter_ns]
    if (last.busy or last.raised) and not told:
        outcome = "raised" if last.raised else f"was busy with {last.backlog_frames} frames left"
        yield f"the final checkpoint {outcome} and nothing was logged"


def close_releases(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """close() closes the connection, whatever became of the final checkpoint."""
    close = _close(history)
    if close is None or _closed(history) is None:
        return
    released = (p for p in history.phases if p.name == MARK_CONNECTION_CLOSE and p.process == 0)
    if not any(phase.enter_seq > close.enter_seq for phase in released):
        yield "close() returned and its connection was still open"


def schema_version(engine: "Engine", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """The restarted database is this store's, of its newest version, with every table of it."""
    expected = engine.store.migrations[-1].version
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version != expected:
        yield f"schema version {version}, expected {expected}"
    if application != APPLICATION_ID:
        yield f"application_id {application}, expected {APPLICATION_ID}"
    if missing := NAMED_TABLES - tables:
        yield f"tables missing: {', '.join(sorted(missing))}"


BACKUP_NOTE = "backup "


def backup_complete(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """The newest backup holds every row that was acked when it was begun; integrity alone is not enough.

    A copy of the main file passes every integrity check and lacks what is in the WAL.
    """
    notes = [note.text for note in history.notes if note.process == 0 and note.text.startswith(BACKUP_NOTE)]
    if not notes:
        return
    lane, seq, path = notes[-1][len(BACKUP_NOTE) :].split(" ", 2)
    step = next(s for s in history.steps if (s.process, s.lane, s.seq) == (0, lane, int(seq)))
    try:
        found = _rows_of(Path(path))
    except sqlite3.Error as error:
        yield f"the backup {Path(path).name} cannot be read: {error}"
        return
    wrong = [key for key, value in _ledger(history, step).items() if found.get(key) != value]
    if wrong:
        table, key = min(wrong)
        yield f"the backup lacks {len(wrong)} rows acked before it began, first {table} {key}"


def _ledger(history: History, moment: StepRecord) -> dict[tuple[str, Row], Row | None]:
    """Return the rows that must be in the database throughout a step: acked before, not touched since."""
    held: dict[tuple[str, Row], Row | None] = {}
    unsettled: set[tuple[str, Row]] = set()
    for step in history.acked:
        if step.ended_before(moment):
            held.update({(effect.table, effect.key): effect.value for effect in step.effects})
    for step in history.steps:
        if step.state is not StepState.ACKED or not step.ended_before(moment):
            unsettled |= {(e.table, e.key) for e in step.effects if not moment.ended_before(step)}
    return {key: value for key, value in held.items() if key not in unsettled}


def _rows_of(path: Path) -> dict[tuple[str, Row], Row]:
    rows: dict[tuple[str, Row], Row] = {}
    with closing(sqlite3.connect(file_uri(path, "ro"), uri=True)) as connection:
        for table in TABLES:
            width = len(table.key)
            for row in connection.execute(table.query):
                rows[(table.name, row[:width])] = row[width:]
    return rows


def _close(history: History) -> PhaseRecord | None:
    return next((p for p in history.phases if p.name == MARK_CLOSE and p.process == 0), None)


CLOSED_NOTE = "closed: wal bytes "


def _closed(history: History) -> int | None:
    """The size of the WAL after close() returned, None if it did not."""
    notes = (note.text for note in history.notes if note.process == 0 and note.text.startswith(CLOSED_NOTE))
    return next((int(text[len(CLOSED_NOTE) :]) for text in notes), None)


def _truncated(history: History) -> bool:
    final = [done for done in rounds(history) if done.mode == TRUNCATE]
    return bool(final) and not final[-1].raised


def _last_words(history: History) -> str:
    return next((record.text for record in reversed(list(said(history)))), "nothing was logged")


# The disk may make a checkpoint fail; then the WAL stays, and what stays is not lost.
_NOT_WITH_BAD_DISKS = {no_failed_round, close_truncates, cadence, exposure_bounded}

CHECKS = tuple(
    Check(
        check.__name__.replace("_", "-"),
        check,
        (FaultClass.IO_ERROR,) if check in _NOT_WITH_BAD_DISKS else (),
    )
    for check in (
        cadence,
        exposure_bounded,
        periodic_passive,
        no_failed_round,
        loop_alive,
        backlog_reported,
        close_truncates,
        close_reports,
        close_releases,
        schema_version,
        io_error_surfaces,
        backup_complete,
    )
)
