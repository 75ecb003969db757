"""Oracle `atomicity`: of each step all effects are there or none, and steps do not mix.

Effects that a later write covers, or that another step may have left, say nothing. Judged under ALL and
PREFIX, for acked, open and refused steps alike.

Invariants:
    torn-step: one effect is there and another is not.
    interleaved-steps: of two steps each lies over the other on some key, which no serial order gives.
"""

from collections.abc import Iterator

from crashlab.model.contract import Durability
from crashlab.model.finding import Finding
from crashlab.oracles.evidence import EXAMPLES_MAX, key_example, rows, show, step_name
from crashlab.oracles.view import View

TORN_STEP = "torn-step"
INTERLEAVED_STEPS = "interleaved-steps"
INVARIANTS = (TORN_STEP, INTERLEAVED_STEPS)


def judge(view: View) -> Iterator[Finding]:
    """Judge whether every step is whole."""
    if not view.rows_judged or view.promise.durability is Durability.NONE:
        return
    presence = view.presence
    steps = view.history.steps
    torn = presence.torn
    if torn:
        first = presence.missing[torn[0]]
        yield view.finding(
            "atomicity",
            TORN_STEP,
            f"{rows(len(torn), 'step')} half there after {view.fault_class.value}: of {step_name(steps[torn[0]])} "
            f"the effect on {first.table} {show(first.key)} is missing, another is not",
            steps=len(torn),
            examples=[
                {
                    "step": step_name(steps[i]),
                    "effects": len(steps[i].effects),
                    "missing": key_example(presence.missing[i], steps),
                }
                for i in torn[:EXAMPLES_MAX]
            ],
        )
    broken = set(torn)
    mixed = sorted(
        (a, b)
        for a, b in presence.covers
        if a < b and (b, a) in presence.covers and a not in broken and b not in broken
    )
    if mixed:
        a, b = mixed[0]
        yield view.finding(
            "atomicity",
            INTERLEAVED_STEPS,
            f"{rows(len(mixed), 'pair')} of steps mixed after {view.fault_class.value}: {step_name(steps[a])} and "
            f"{step_name(steps[b])} each wrote over the other",
            pairs=len(mixed),
            examples=[[step_name(steps[a]), step_name(steps[b])] for a, b in mixed[:EXAMPLES_MAX]],
        )
