"""All oracles in order, and judging a view by them."""

from itertools import chain, islice

from crashlab.model.finding import Finding
from crashlab.oracles import (
    atomicity,
    books,
    content,
    durability,
    foreign_keys,
    integrity,
    order,
    restart,
    sidecars,
)
from crashlab.oracles.view import Oracle, View

FINDINGS_MAX = 50

ORACLES: tuple[tuple[str, Oracle], ...] = (
    ("restart", restart.judge),
    ("integrity", integrity.judge),
    ("foreign-keys", foreign_keys.judge),
    ("content", content.judge),
    ("durability", durability.judge),
    ("atomicity", atomicity.judge),
    ("order", order.judge),
    ("sidecars", sidecars.judge),
    ("books", books.judge),
)
"""Every oracle with its name, which is also the `oracle` of its findings; the plainest damage first."""


def judge_all(view: View, findings_max: int = FINDINGS_MAX) -> tuple[Finding, ...]:
    """Return what contradicts the contract, at most one finding an invariant and `findings_max` in all.

    Raises:
        SubjectError: a step's effect names a table that the workload does not declare.
    """
    return tuple(islice(chain.from_iterable(judge(view) for _, judge in ORACLES), findings_max))
