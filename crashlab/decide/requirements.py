"""The gate's rows for what a workload is required to be: each with the checks and audits that stand for it."""

from collections.abc import Iterator, Sequence

from crashlab.decide.evidence import Row, RowResult
from crashlab.engine.audit import Audited
from crashlab.model.contract import FaultClass

__all__ = ["GROUP", "requirement_rows"]

GROUP = "requirements"
_BOOKS = "books"
_EVIDENCE = tuple(str(each) for each in FaultClass if each is not FaultClass.NONE)


def requirement_rows(audited: Audited, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield one row a requirement, from the rows that the gate has already.

    A requirement fails if one of its audits complains or one of its checks was violated anywhere. One that rests
    on checks is INCONCLUSIVE while nothing was judged. `judged` counts what its checks were run on: trials, and
    crash states that were judged by class or one by one.
    """
    evidence = [row for row in rows if row.fault_class in _EVIDENCE]
    judged = sum(row.judged for row in evidence)
    violated = {invariant for row in evidence for invariant in row.invariants}
    for name, parts in audited.requirements.items():
        checks = [part for part in parts if part not in audited.audits]
        audits = [part for part in parts if part in audited.audits]
        broken = [f"{_BOOKS}/{check}" for check in checks if f"{_BOOKS}/{check}" in violated]
        complaints = [f"{audit}: {line}" for audit in audits for line in audited.audits[audit]]
        detail = [f"audits: {', '.join(audits)}"] if audits else []
        detail += [f"checks: {', '.join(checks)}"] if checks else []
        result = RowResult.OK
        if broken or complaints:
            result = RowResult.FAIL
            detail = complaints + [f"violated: {', '.join(broken)}"] * bool(broken)
        elif checks and not judged:
            result = RowResult.INCONCLUSIVE
            detail.append("nothing was judged")
        yield Row(
            GROUP,
            name,
            result,
            judged=judged if checks else 0,
            failures=len(broken) + len(complaints),
            detail="; ".join(detail),
            invariants=(*broken, *(f"audit/{audit}" for audit in audits if audited.audits[audit])),
        )
