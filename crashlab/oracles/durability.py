"""Oracle `durability`: what was acked came back, and nothing that nobody wrote.

A key may hold: the value of an acked step that no other acked write of the key followed in real time; the
value of an unacked step (open, or refused: its commit may have happened) that was not so followed; nothing,
if no acked step wrote it. That makes updates and deletes as judgeable as inserts. The idea of a pending
value that is accepted either way is RocksDB's `db_stress` (`expected_value.h`).

Invariants, under the promise ALL:
    acked-row-lost: an acked row is gone.
    acked-delete-undone: an acked delete's row is back.
    acked-update-lost: an older value of the key is back.
And whatever is promised (for interference even under NONE, since wrong rows are worse than no rows):
    wrong-value: the key's steps never wrote this value.
    row-from-nowhere: no step ever wrote a row of this key.
Under PREFIX acked commits may be gone; that only the last ones are is for `order` to say.
"""

from collections.abc import Iterator

from crashlab.model.contract import Durability
from crashlab.model.finding import Finding
from crashlab.model.history import StepState
from crashlab.oracles.evidence import EXAMPLES_MAX, key_example, rows, show
from crashlab.oracles.keys import KeyIndex, KeyState
from crashlab.oracles.view import View

ACKED_ROW_LOST = "acked-row-lost"
ACKED_DELETE_UNDONE = "acked-delete-undone"
ACKED_UPDATE_LOST = "acked-update-lost"
WRONG_VALUE = "wrong-value"
ROW_FROM_NOWHERE = "row-from-nowhere"
INVARIANTS = (ACKED_ROW_LOST, ACKED_DELETE_UNDONE, ACKED_UPDATE_LOST, WRONG_VALUE, ROW_FROM_NOWHERE)

_SAYS = {
    ACKED_ROW_LOST: "acked and gone",
    ACKED_DELETE_UNDONE: "deleted, acked, and back again",
    ACKED_UPDATE_LOST: "back at an older value than the acked one",
    WRONG_VALUE: "with a value that no step wrote",
    ROW_FROM_NOWHERE: "that no step wrote",
}


def judge(view: View) -> Iterator[Finding]:
    """Judge every key's recovered value against what the history allows."""
    if not view.rows_judged:
        return
    index = view.index
    durable = view.promise.durability is Durability.ALL
    broken: dict[str, list[KeyState]] = {}
    for state in index.open_keys:
        invariant = _broken(state, index, durable=durable)
        if invariant:
            broken.setdefault(invariant, []).append(state)
    for table, key, value in index.strays:
        broken.setdefault(ROW_FROM_NOWHERE, []).append(KeyState(table, key, value, []))
    for invariant in INVARIANTS:
        states = broken.get(invariant)
        if states:
            yield _finding(view, invariant, states)


def _broken(state: KeyState, index: KeyIndex, *, durable: bool) -> str:
    """Return the invariant that this key breaks, or ""."""
    steps = index.steps
    found = state.found
    acked = [i for i, _ in state.writers if steps[i].state is StepState.ACKED] if durable else []
    if state.candidates(steps, acked):
        return ""
    if found is None:
        return ACKED_ROW_LOST  # without an acked writer, nothing is a candidate
    if all(value is None for _, value in state.writers):
        return ACKED_DELETE_UNDONE if acked else ROW_FROM_NOWHERE
    if all(value != found for _, value in state.writers):
        return WRONG_VALUE
    deleted = KeyState(state.table, state.key, None, state.writers).candidates(steps, acked)
    return ACKED_DELETE_UNDONE if set(deleted).intersection(acked) else ACKED_UPDATE_LOST


def _finding(view: View, invariant: str, states: list[KeyState]) -> Finding:
    steps = view.history.steps
    first = states[0]
    missing = sorted({state.table for state in states} - view.recovered.rows.keys())
    message = (
        f"{rows(len(states))} {_SAYS[invariant]} after {view.fault_class.value}, "
        f"first {first.table} {show(first.key)}: found {show(first.found)}"
    )
    if missing:
        message += f"; missing altogether: table {', '.join(missing[:5])}"
    return view.finding(
        "durability",
        invariant,
        message,
        keys=len(states),
        examples=[key_example(state, steps) for state in states[:EXAMPLES_MAX]],
        tables_missing=missing[:EXAMPLES_MAX],
    )
