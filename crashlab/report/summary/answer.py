"""The decision that a report begins with: a gate's own, or what a run's trials come to."""

from collections.abc import Sequence
from typing import Any

from crashlab.decide.evidence import GateReport
from crashlab.decide.statistics import format_rate
from crashlab.engine.campaign import StopReason
from crashlab.report.summary.facts import Answer, Counts, Found, Run

__all__ = ["answer_of"]

REASONS_MAX = 12
_WORST = ("NO-GO", "INCONCLUSIVE", "GO")


def answer_of(
    counts: Counts,
    found: tuple[Found, ...],
    gates: tuple[GateReport, ...],
    study: tuple[dict[str, Any], ...],
    stop: str,
    runs: Sequence[Run],
) -> Answer:
    """Decide. The worst of several gates is the answer; a study answers with its recommendation."""
    if gates:
        worst = min(gates, key=lambda gate: _place(gate.decision))
        names = {gate.subject for gate in gates}
        reasons = [
            reason if len(names) == 1 else f"{gate.subject}: {reason}"
            for gate in sorted(gates, key=lambda gate: _place(gate.decision))
            for reason in gate.reasons
        ]
        return Answer(worst.decision, f"gate · {', '.join(sorted(names))}", tuple(reasons[:REASONS_MAX]))
    recommended = next((event for event in reversed(study) if event["kind"] == "study.recommendation"), None)
    if recommended is not None and not counts.trials:
        says, reasons = str(recommended.get("says", "")), recommended.get("reasons") or []
        return Answer("STUDY", says, tuple(str(reason) for reason in reasons)[:REASONS_MAX])
    subjects = ", ".join(dict.fromkeys(run.subject for run in runs if run.subject))
    reasons = [f"{format_rate(counts.failures, counts.judged)} of the judged trials failed"]
    if not counts.trials and not study:
        return Answer("INCONCLUSIVE", subjects, ("no trial was run, so nothing is known",))
    reasons += [f"{each.identity}: {each.often}" for each in found]
    if counts.missed:
        reasons.append(f"{counts.missed} MISSED: the fault did not fire, so they count for nothing")
    if counts.errors:
        reasons.append(f"{counts.errors} ERROR: the lab or the workload broke")
    partial = stop not in ("", StopReason.DONE.value)
    if partial:
        reasons.append(f"it ended early: {stop}")
    if not stop and counts.trials:
        reasons.append("the campaign did not finish: its records end before its end")
    if counts.failures or found:
        word = "FAIL"
    else:
        word = "PASS" if counts.judged and not counts.errors and stop else "INCONCLUSIVE"
        word = "INCONCLUSIVE" if stop in (StopReason.INTERRUPTED.value, StopReason.DISK_FULL.value) else word
    return Answer(word, subjects, tuple(reasons[: REASONS_MAX + 1]))


def _place(decision: str) -> int:
    return _WORST.index(decision) if decision in _WORST else 1
