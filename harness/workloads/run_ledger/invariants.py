"""What must hold of the runs, whoever died when: judged after the restart, from the journal and the log.

The journal (`harness.workloads.run_ledger.journal`) says who changed what in the order of the commits, so that
"never" and "at any moment" are meant literally. What is visible to one process only is in its complaints. Each
of these has a planted bug in `harness.planted.ledger`.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from crashlab.model.contract import FaultClass
from crashlab.model.history import History
from crashlab.model.workload import Check
from harness.workloads.run_ledger import model
from harness.workloads.run_ledger.journal import OLD_RUNS, Change, changes
from harness.workloads.run_ledger.old_file import schema_complaints
from harness.workloads.run_ledger.role import (
    CANCEL_IS_PROMPT,
    COMPLAINT,
    COUNTING_IS_PASSIVE,
    MEMORY_FOLLOWS_FILE,
    REGISTRY_BOUNDED,
    RETRY_IS_HARMLESS,
    STALE_RUNS_END,
    STARTS_TOGETHER,
)
from harness.workloads.run_ledger.scenes import CAP, PATIENCE_S
from store.run_ledger import ACTIVE_STATUSES, TERMINAL_STATUSES
from store.run_ledger.records import RUN_COLUMNS, run_of
from store.run_ledger.statuses import CLOSED

if TYPE_CHECKING:
    from harness.workloads.run_ledger.program import LedgerProcess

_PATIENCE_NS: Final = round(PATIENCE_S * 1e9)


def terminal_is_final(_process: "LedgerProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """No run that has ended ever changes, in whatever column."""
    return (str(change) for change in changes(connection) if change.old_status in TERMINAL_STATUSES)


def late_cancel_is_void(_process: "LedgerProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """A cancel never turns a run that has ended otherwise into a closed one."""
    for change in changes(connection):
        if change.status == CLOSED and change.old_status in set(TERMINAL_STATUSES) - {CLOSED}:
            yield str(change)


def ended_stays_ended(_process: "LedgerProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """Nothing revives a run: no loader that finishes late, no restart."""
    for change in changes(connection):
        if change.old_status in TERMINAL_STATUSES and change.status in ACTIVE_STATUSES:
            yield str(change)


def cap_holds(_process: "LedgerProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """At no moment has an agent more active runs than it may have."""
    active: Counter[str] = Counter()
    for change in changes(connection):
        before = active[change.agent]
        active[change.agent] += (change.status in ACTIVE_STATUSES) - (change.old_status in ACTIVE_STATUSES)
        if active[change.agent] > max(before, CAP):
            yield f"{change}: {change.agent} then had {active[change.agent]} active runs and may have {CAP}"


def live_runs_left_alone(_process: "LedgerProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """Nobody but its owner fails a run, or takes it, whose last heartbeat is not older than the patience."""
    for change, holder in _held(changes(connection)):
        if change.fence == change.old_fence or change.old_heartbeat is None or change.actor == holder:
            continue
        if change.owner == change.old_owner and change.status == change.old_status:
            continue  # its own program, restarted
        then = change.heartbeat if change.ended_at is None else change.ended_at
        if then is not None and then - change.old_heartbeat <= _PATIENCE_NS:
            age = (then - change.old_heartbeat) / 1e9
            yield f"{change} although its heartbeat was {age:.3f} s old and the patience is {PATIENCE_S} s"


def fences_hold(_process: "LedgerProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """Under a fence only the ledger that raised it writes; anybody may cancel."""
    for change, holder in _held(changes(connection)):
        if holder is None or change.fence != change.old_fence or change.status == CLOSED:
            continue
        if change.actor != holder:
            yield f"{change} at step {change.step}, which wrote under fence {change.fence} of {holder}"


def _held(journal: Iterator[Change]) -> Iterator[tuple[Change, str | None]]:
    """Each change with the ledger that held the run when it was made, None for one that nobody had."""
    holders: dict[str, str] = {}
    for change in journal:
        yield change, holders.get(change.run_id)
        if change.fence != change.old_fence:
            holders[change.run_id] = change.actor


def ended_runs_served(process: "LedgerProcess", connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """After the restart every ended run is served as it is in the file, at the step that its owner was told of."""
    acked: dict[str, int] = {}
    for step in history.acked:
        for effect in step.effects:
            if effect.table == model.PROGRESS and effect.value is not None:
                acked[effect.key[0]] = max(acked.get(effect.key[0], 0), effect.value[2])
    for row in connection.execute(f"SELECT {RUN_COLUMNS} FROM protocol_runs WHERE run_id NOT LIKE '{OLD_RUNS}%'"):
        run = run_of(row)
        if not run.is_terminal:
            continue
        served = process.ledger.get_run(run.run_id)
        if served != run:
            yield f"{run.run_id} is {run} in the file and served as {served}"
        elif served.step_index < acked.get(run.run_id, 0):
            yield f"{run.run_id} is {run.status} at step {run.step_index}; step {acked[run.run_id]} had been acked"


def ends_as_told(_process: "LedgerProcess", connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A run has the end that somebody was told it has, for good."""
    statuses = dict(connection.execute("SELECT run_id, status FROM protocol_runs"))
    for step in history.acked:
        for effect in step.effects:
            if effect.table != model.OUTCOME or effect.value is None or effect.value[0] not in TERMINAL_STATUSES:
                continue
            (run_id,), told = effect.key, effect.value[0]
            if statuses.get(run_id) != told:
                yield f"{step.lane} was told that {run_id} is {told}; it is {statuses.get(run_id, 'gone')}"


def schema_agrees(_process: "LedgerProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """The version says what the schema is, and each migration was done once."""
    return schema_complaints(connection)


def _complaints_of(invariant: str) -> Callable[["LedgerProcess", sqlite3.Connection, History], Iterator[str]]:
    start = f"{COMPLAINT}{invariant}: "

    def run(_process: "LedgerProcess", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
        return (note.text.removeprefix(start) for note in history.notes if note.text.startswith(start))

    return run


CHECKS: Final = (
    Check("terminal-is-final", terminal_is_final),
    Check("late-cancel-is-void", late_cancel_is_void),
    Check("ended-stays-ended", ended_stays_ended),
    Check("cap-holds", cap_holds),
    Check("live-runs-left-alone", live_runs_left_alone),
    Check("fences-hold", fences_hold),
    Check("ended-runs-served", ended_runs_served),
    Check("schema-agrees", schema_agrees),
    Check("ends-as-told", ends_as_told, (FaultClass.POWER_LOSS,)),  # what a power loss may take is for the row oracles
    *(
        Check(name, _complaints_of(name))
        for name in (
            COUNTING_IS_PASSIVE,
            MEMORY_FOLLOWS_FILE,
            REGISTRY_BOUNDED,
            RETRY_IS_HARMLESS,
            CANCEL_IS_PROMPT,
            STALE_RUNS_END,
        )
    ),
    Check(STARTS_TOGETHER, _complaints_of(STARTS_TOGETHER), (FaultClass.IO_ERROR,)),
)

REQUIREMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ended runs never change": ("terminal-is-final", "late-cancel-is-void", "ended-stays-ended"),
    "the cap holds across processes": ("cap-holds", COUNTING_IS_PASSIVE),
    "siblings' live runs are left alone": ("live-runs-left-alone", "fences-hold", STALE_RUNS_END),
    "a cancel waits for nobody": (CANCEL_IS_PROMPT,),
    "memory follows the file": (MEMORY_FOLLOWS_FILE, REGISTRY_BOUNDED, "ended-runs-served"),
    "the schema migrates in place": ("schema-agrees", STARTS_TOGETHER),
    "every step may be repeated": (RETRY_IS_HARMLESS,),
    "no silent failures": ("ends-as-told",),
}
