"""Oracle `restart`: the program's own start-up path brings the database back.

Invariants:
    refused: the restart path raised. Allowed where the contract says so: `may_refuse`, or a file that need
        not be well-formed for this fault. A refusal is no loss: the row oracles then say nothing.
"""

from collections.abc import Iterator

from crashlab.model.finding import Finding
from crashlab.oracles.view import View

INVARIANTS = ("refused",)


def judge(view: View) -> Iterator[Finding]:
    """Judge whether the program may refuse to start."""
    refused = view.recovered.refused
    promise = view.promise
    if not refused or promise.may_refuse or not promise.well_formed:
        return
    yield view.finding(
        "restart",
        "refused",
        f"the program does not start any more after {view.fault_class.value}: {refused[:300]}",
        error=refused[:2000],
    )
