"""Judging a view, with the one allowance that SQLite's own documents make."""

import msgspec

from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding
from crashlab.model.history import History, StepState
from crashlab.oracles.all import judge_all
from crashlab.oracles.view import View

ROLLBACK_JOURNALS = ("delete", "persist", "truncate")
_EXTRA = ("3", "EXTRA")


def judge_view(view: View, settings: dict[str, str]) -> tuple[tuple[Finding, ...], bool]:
    """Return the findings, and whether the last acked step came back undone as a rollback journal's may.

    With a rollback journal a commit is the journal's unlink, and `synchronous=FULL` does not sync the
    directory after it: a power loss may bring the journal back, and with it the state before the last commit.
    EXTRA closes that (https://sqlite.org/pragma.html#pragma_synchronous). So one step, the last, is allowed
    to be undone there, and is told; anything more is a finding.
    """
    findings = judge_all(view)
    if not findings or not _may_undo_the_last(view, settings):
        return findings, False
    again = msgspec.structs.replace(view, history=_without_last_ack(view.history))
    if judge_all(again):
        return findings, False
    return (), True


def _may_undo_the_last(view: View, settings: dict[str, str]) -> bool:
    return (
        view.fault_class is FaultClass.POWER_LOSS
        and settings.get("journal_mode", "").lower() in ROLLBACK_JOURNALS
        and settings.get("synchronous", "").upper() not in _EXTRA
        and bool(view.history.acked)
    )


def _without_last_ack(history: History) -> History:
    """The history in which the last acked step is one whose commit nobody knows of."""
    last = history.acked[-1]
    steps = tuple(
        msgspec.structs.replace(step, state=StepState.OPEN, end_ns=0, end_seq=0) if step is last else step
        for step in history.steps
    )
    return msgspec.structs.replace(history, steps=steps)
