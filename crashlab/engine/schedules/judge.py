"""Judging a schedule: the oracles of a trial, on what a fresh connection reads when all others have closed.

Nothing was killed and nothing failed, so everything acked has to be there and the file has to be well-formed: the
fault class is "no fault", the promise that of a process death. Beside those oracles:

    schedule/deadlock: all actors wait for one another.
    schedule/raised: an actor raised outside of its steps.
    schedule/malformed-seen: a step was refused because the database is malformed, or is no database.
    schedule/lost-locks, schedule/wal-generations: what somebody did to the open files; see `harm`.
    sidecars/wal-index: at the end of a step the wal-index said something impossible.

A WAL that remains accuses nobody where two actors closed connections: each of two that close at once can see the other
still there, and then SQLite leaves the checkpoint to the next opener.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from crashlab.engine.recover import LINES_MAX, read_rows, restart_and_read
from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.reads import Read, judge_reads
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding
from crashlab.model.history import History, StepState
from crashlab.oracles.all import judge_all
from crashlab.oracles.view import Recovered, View
from crashlab.sqlite.check import integrity_check, quick_check
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.context import RunContext
from crashlab.writers.order import Order
from crashlab.writers.schedule.decide import CALLS
from crashlab.writers.schedule.turns import ACTOR_SHIFT

__all__ = ["Seen", "judge"]

_CALL = (1 << ACTOR_SHIFT) - 1
_MALFORMED = ("malformed", "not a database")


class Seen(msgspec.Struct, frozen=True):
    """What was seen while the schedule ran. `raised`: what actors raised outside of their steps.

    `fault_class`: of the fault that befell an actor, if one did. `trace`: its calls. `harmed`: of `Harm`.
    """

    history: History
    reads: Sequence[Read] = ()
    wal_index: str = ""
    raised: Sequence[str] = ()
    deadlock: str = ""
    fault_class: FaultClass = FaultClass.NONE
    trace: bytes = b""
    harmed: Mapping[str, str] = {}


def judge(
    workload: Any,
    subject: str,
    order: Order,
    connect: Callable[..., sqlite3.Connection],
    seen: Seen,
    sidecars: dict[str, int],
) -> list[Finding]:
    """Judge one schedule; `order` is that of its run, `connect` what the program's restart is handed.

    `sidecars`: what lay beside the database at the end.
    """
    index = (seen.wal_index,) if seen.wal_index else ()
    if sidecars and _closers(seen.trace) > 1:
        sidecars = {}
    if seen.deadlock:
        recovered = Recovered()
    elif subject == GENERIC:
        recovered = _read(workload, order.database)
    else:
        context = RunContext(order, 0, connect)
        recovered = restart_and_read(workload, context, seen.history, seen.fault_class, b"", sidecars)
    recovered = msgspec.structs.replace(recovered, wal_index_problems=index)
    view = View(subject, seen.fault_class, workload.contract, workload.tables, seen.history, recovered)
    found = list(_own(view, seen))
    if not seen.deadlock:
        if subject != GENERIC or not _as_acked(seen, recovered):
            found += judge_all(view)
        found += judge_reads(view, seen.reads)
    return found


def _as_acked(seen: Seen, recovered: Recovered) -> bool:
    """Whether every step was acked and exactly what they wrote is there, each key once: nothing for the oracles to ask.

    Only where every key has one writer, as in the generic workload; it saves it a tenth of its time.
    """
    if recovered.quick_check or recovered.integrity_check or recovered.wal_index_problems or recovered.duplicates:
        return False
    if any(step.state is not StepState.ACKED for step in seen.history.steps):
        return False
    written = {effect.key: effect.value for step in seen.history.steps for effect in step.effects}
    return recovered.rows == {"t": written}


def _closers(trace: bytes) -> int:
    """How many actors closed a file of SQLite."""
    return len({byte >> ACTOR_SHIFT for byte in trace[::2] if byte & _CALL == CALLS[Operation.CLOSE]})


def _own(view: View, seen: Seen) -> Iterator[Finding]:
    if seen.deadlock:
        yield view.finding("schedule", "deadlock", seen.deadlock)
    if seen.raised:
        yield view.finding("schedule", "raised", seen.raised[0][:500], lines=list(seen.raised[:LINES_MAX]))
    for invariant, text in seen.harmed.items():
        yield view.finding("schedule", invariant, text)
    for step in seen.history.steps:
        if step.state is StepState.REFUSED and any(word in step.error for word in _MALFORMED):
            yield view.finding("schedule", "malformed-seen", f"{step.lane}#{step.seq}: {step.error}"[:500])
            return


def _read(workload: Any, database: str) -> Recovered:
    """Read the tables with one connection, without a restart path: the generic workload has none of its own.

    Where nothing lies beside the main file, it is all that any connection can read, and `immutable` reads just that: it
    makes no WAL, no shared memory and no locks, which is most of what a look at a database costs.
    """
    alone = not any(os.path.exists(database + suffix) for suffix in ("-wal", "-journal"))
    name = f"file:{quote(database)}?mode=ro&immutable=1" if alone else database
    try:
        connection = sqlite3.connect(name, uri=alone, isolation_level=None, timeout=5.0)
        try:
            rows, duplicates = read_rows(connection, workload.tables)
            problems = integrity_check(connection, LINES_MAX)
            quick = quick_check(connection, LINES_MAX) if problems else ()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Recovered(quick_check=(f"reading it: {error}",))
    return Recovered(rows=rows, duplicates=tuple(duplicates), quick_check=quick, integrity_check=problems)
