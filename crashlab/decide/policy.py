"""The policy: evidence → decision, a pure function."""

from enum import StrEnum

from crashlab.decide.config import Policy
from crashlab.decide.evidence import CONTROLS, Row, RowResult
from crashlab.model.contract import FaultClass


class Decision(StrEnum):
    """A gate's answer."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """0 GO, 1 NO-GO, 3 INCONCLUSIVE."""
        return {"GO": 0, "NO-GO": 1}.get(self.value, 3)


def decide(
    rows: tuple[Row, ...], phase_hits: dict[str, int], judged: int, policy: Policy, *, partial: str = ""
) -> tuple[Decision, tuple[str, ...]]:
    """Decide, with the reasons in words.

    A missed control comes first: a lab that cannot see proves nothing, in either direction. Then
    failures; then everything that makes the evidence too thin, no evidence at all above all. `partial`
    says why the run ended before its time; the results are then labelled so, and never a GO.
    """
    label = (f"the results are partial: {partial}",) if partial else ()
    blind = [
        row
        for row in rows
        if row.group == CONTROLS and row.result in (RowResult.MISSED, RowResult.INCONCLUSIVE, RowResult.FAIL)
    ]
    if blind:
        return Decision.INCONCLUSIVE, tuple(
            f"control {row.name!r} was not as it must be: {row.detail}" for row in blind
        ) + label
    failed = [row for row in rows if row.result is RowResult.FAIL]
    if failed:
        named = sorted({invariant for row in failed for invariant in row.invariants} or {row.name for row in failed})
        return Decision.NO_GO, tuple(f"{name}: {_where(name, failed)}" for name in named) + label
    thin = [f"{row.name}: {row.detail or row.result.value}" for row in rows if row.result is RowResult.INCONCLUSIVE]
    thin += [f"{row.name}: {row.detail}" for row in rows if row.result is RowResult.MISSED]
    thin += [
        f"phase {phase} was hit {hits} times, the policy wants {policy.phase_hits_min}"
        for phase, hits in phase_hits.items()
        if hits < policy.phase_hits_min
    ]
    if judged < max(1, policy.trials_min):
        thin.append(f"{judged} trials were judged, the policy wants {max(1, policy.trials_min)}")
    if thin or label:
        return Decision.INCONCLUSIVE, (*label, *thin)
    reasons = [f"no failure in {judged} judged trials of process death; every control was caught"]
    for fault_class, what in (
        (FaultClass.POWER_LOSS, "crash states of a power loss"),
        (FaultClass.IO_ERROR, "failed calls"),
    ):
        counted = sum(row.judged for row in rows if row.fault_class == fault_class)
        if counted:
            reasons.append(f"no failure in {counted:,} {what}, as the contract promises for each")
    schedules = sum(row.judged for row in rows if row.fault_class == FaultClass.NONE)
    if schedules:
        reasons.append(f"no failure in {schedules:,} orders in which its lanes may run")
    return Decision.GO, tuple(reasons)


def _where(name: str, failed: list[Row]) -> str:
    rows = [row for row in failed if name in row.invariants or name == row.name]
    failures = sum(row.failures for row in rows)
    if not failures:
        return rows[0].detail
    judged = sum(row.judged for row in rows)
    return f"violated; {failures} of {judged} failed in {', '.join(row.name for row in rows[:4])}"
