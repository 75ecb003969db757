"""Oracle `foreign-keys`: no child row without its parent (`PRAGMA foreign_key_check`).

Judged where the contract promises a well-formed file.

Invariants:
    violated: foreign_key_check returned rows.
"""

from collections.abc import Iterator

from crashlab.model.finding import Finding
from crashlab.oracles.evidence import lines, rows
from crashlab.oracles.view import View

INVARIANTS = ("violated",)


def judge(view: View) -> Iterator[Finding]:
    """Judge the rows of foreign_key_check."""
    problems = view.recovered.foreign_key_check
    if not problems or not view.promise.well_formed:
        return
    yield view.finding(
        "foreign-keys",
        "violated",
        f"foreign_key_check: {rows(len(problems), 'violation')} after {view.fault_class.value}, "
        f"first: {problems[0][:200]}",
        problems=len(problems),
        lines=lines(problems),
    )
