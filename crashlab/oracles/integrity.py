"""Oracle `integrity`: the recovered file is well-formed by SQLite's own checks.

`PRAGMA quick_check` skips what `integrity_check` adds: that each index holds exactly the entries of its table
(https://sqlite.org/pragma.html#pragma_quick_check). So there are three answers: sound, found by
quick_check (which a program may run at every start), found by integrity_check only. Judged where the
contract promises a well-formed file.

Invariants:
    quick-check: quick_check has problems (integrity_check's lines are in the evidence as well).
    integrity-check-only: quick_check says ok, integrity_check does not.
"""

from collections.abc import Iterator

from crashlab.model.finding import Finding
from crashlab.oracles.evidence import lines, rows
from crashlab.oracles.view import View

QUICK_CHECK = "quick-check"
INTEGRITY_CHECK_ONLY = "integrity-check-only"
INVARIANTS = (QUICK_CHECK, INTEGRITY_CHECK_ONLY)


def judge(view: View) -> Iterator[Finding]:
    """Judge the problem lines of quick_check and integrity_check."""
    quick, full = view.recovered.quick_check, view.recovered.integrity_check
    if not (quick or full) or not view.promise.well_formed:
        return
    if quick:
        yield view.finding(
            "integrity",
            QUICK_CHECK,
            f"quick_check: {rows(len(quick), 'problem')} after {view.fault_class.value}, first: {quick[0][:200]}",
            problems=len(quick),
            quick_check=lines(quick),
            integrity_check=lines(full),
        )
    else:
        yield view.finding(
            "integrity",
            INTEGRITY_CHECK_ONLY,
            f"quick_check says ok, integrity_check finds {rows(len(full), 'problem')} after "
            f"{view.fault_class.value}, first: {full[0][:200]}",
            problems=len(full),
            integrity_check=lines(full),
        )
