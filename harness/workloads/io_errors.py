"""An I/O error must surface: as an exception of the step that met it, or as a record in the log."""

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from crashlab.faults.io_error import ERRORS
from crashlab.model.history import EndKind, History, StepState
from crashlab.model.phase import MARK_CHECKPOINT, MARK_CONNECTION_CLOSE
from harness.workloads.watch import said

if TYPE_CHECKING:
    from harness.workloads.system_metrics import Engine

_FIRED = tuple(f"fired: {error} " for error in ERRORS)


def io_error_surfaces(_engine: "Engine", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A call that failed is followed by a refused step, a WARNING or ERROR record, or a failing exit.

    Left out is what SQLite itself swallows: errors of the checkpoint and the deletes that it makes when the
    last connection closes (`sqlite3WalClose` in wal.c goes on without them), and reads and opens for which it
    has another way.
    """
    failed = [note for note in history.notes if note.text.startswith(_FIRED)]
    if not failed or history.ended.kind is not EndKind.EXITED or history.ended.code:
        return
    if any(step.state is StepState.REFUSED for step in history.steps) or any(said(history)):
        return
    for note in failed:
        inside = [p.name for p in history.phases if p.enter_ns <= note.ns and (not p.leave_ns or note.ns <= p.leave_ns)]
        if MARK_CONNECTION_CLOSE in inside and MARK_CHECKPOINT not in inside:
            continue
        if any(f" {what}" in note.text for what in ("any.read", "main.read", "wal.read", "any.open", "any.delete")):
            continue
        yield f"{note.text.removeprefix('fired: ')}: no step was refused and nothing was logged"
        return
