"""Oracle `books`: the workload's own checks hold after its own restart path.

The invariant is the check's name, one finding a check. Judged unless the contract promises no durability:
the checks reason about rows, and there need be none.
"""

from collections.abc import Iterator

from crashlab.model.contract import Durability
from crashlab.model.finding import Finding
from crashlab.oracles.evidence import lines, rows
from crashlab.oracles.view import View


def judge(view: View) -> Iterator[Finding]:
    """Turn the problem lines of the workload's checks into findings."""
    problems = view.recovered.check_problems
    if not problems or view.promise.durability is Durability.NONE:
        return
    for name, found in problems.items():
        if found:
            yield view.finding(
                "books",
                name,
                f"{name}: {rows(len(found), 'problem')} after {view.fault_class.value}, first: {found[0][:200]}",
                problems=len(found),
                lines=lines(found),
            )
