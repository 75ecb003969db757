"""Oracle `order`: what survived is downward closed in real time.

If step a was acked before step b began, and b is in the database, then a is. Steps of which presence cannot
be told (every effect written over, or torn) neither prove nor break anything. Exact commit order is not
claimed: overlapping steps may survive in any order. Judged under ALL and PREFIX; under PREFIX it is what
tells a lost tail (allowed) from a gap (never).

Invariants:
    lane-gap: the missing step and the one that is there are of one lane.
    cross-lane-gap: they are of different lanes.
"""

from collections.abc import Iterator

from crashlab.model.contract import Durability
from crashlab.model.finding import Finding
from crashlab.model.history import StepRecord, StepState
from crashlab.oracles.evidence import EXAMPLES_MAX, rows, step_name
from crashlab.oracles.keys import followed, horizon
from crashlab.oracles.view import View

LANE_GAP = "lane-gap"
CROSS_LANE_GAP = "cross-lane-gap"
INVARIANTS = (LANE_GAP, CROSS_LANE_GAP)


def judge(view: View) -> Iterator[Finding]:
    """Judge whether an acked step is missing below one that is there."""
    if not view.rows_judged or view.promise.durability is Durability.NONE:
        return
    presence = view.presence
    steps = view.history.steps
    absent = [steps[i] for i in presence.absent if steps[i].state is StepState.ACKED]
    if not absent:
        return
    present = [steps[i] for i in presence.shown if i not in presence.missing]
    latest = horizon(present)
    gone = [step for step in absent if followed(step, latest)]
    if not gone:
        return
    lanes: dict[tuple[int, str], int] = {}
    for step in present:
        lane = (step.process, step.lane)
        lanes[lane] = max(lanes.get(lane, -1), step.begin_seq)
    within = [step for step in gone if step.end_seq < lanes.get((step.process, step.lane), -1)]
    inside = {id(step) for step in within}
    across = [step for step in gone if id(step) not in inside]
    if within:
        yield _finding(view, LANE_GAP, within, present, "of the same lane")
    if across:
        yield _finding(view, CROSS_LANE_GAP, across, present, "of another lane")


def _finding(view: View, invariant: str, gone: list[StepRecord], present: list[StepRecord], whose: str) -> Finding:
    same_lane = invariant == LANE_GAP
    examples = []
    for step in gone[:EXAMPLES_MAX]:
        later = min(
            (
                other
                for other in present
                if step.ended_before(other)
                and (not same_lane or (other.process, other.lane) == (step.process, step.lane))
            ),
            key=lambda other: (other.begin_ns, other.begin_seq),
        )
        examples.append({"missing": step_name(step), "there": step_name(later)})
    first = examples[0]
    return view.finding(
        "order",
        invariant,
        f"{rows(len(gone), 'acked step')} missing while a later one {whose} is there after "
        f"{view.fault_class.value}: {first['missing']} is not, {first['there']} is",
        steps=len(gone),
        examples=examples,
    )
