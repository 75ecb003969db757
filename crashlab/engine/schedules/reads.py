"""Oracle `reads`: what a step read was in the database at one moment between its begin and its end.

Judged where the workload declares that a step reads whole tables in one transaction (`Step.reads`). A read may miss no
row that was acked before it began and never written again, show no row that nobody had begun to write when it
ended, and no later read may be older than an earlier one. That is atomicity of each key (Herlihy and Wing,
"Linearizability", 1990), key by key: necessary, and enough to see a snapshot that is stale or from nowhere.

Invariants:
    stale-read: a value that an acked write had already covered when the read began, or a row missing for that.
    read-from-nowhere: a row that no step had begun to write.
    reads-go-back: of two reads one after the other, the later saw an older value of a key.
"""

from collections.abc import Iterator, Sequence

import msgspec

from crashlab.model.finding import Finding
from crashlab.model.history import StepRecord, StepState
from crashlab.model.step import Row
from crashlab.oracles.evidence import show, step_name
from crashlab.oracles.view import View

__all__ = ["Read", "judge_reads"]

STALE_READ, FROM_NOWHERE, GO_BACK = "stale-read", "read-from-nowhere", "reads-go-back"


class Read(msgspec.Struct, frozen=True):
    """What one step saw: the rows of the tables that it read whole."""

    step: StepRecord
    tables: tuple[str, ...]
    rows: dict[tuple[str, Row], Row]


def judge_reads(view: View, reads: Sequence[Read]) -> Iterator[Finding]:
    """Judge every read against the writes of the history; at most one finding an invariant."""
    if not reads:
        return
    writers: dict[tuple[str, Row], list[tuple[StepRecord, Row | None]]] = {}
    for step in view.history.steps:
        for effect in step.effects:
            writers.setdefault((effect.table, effect.key), []).append((step, effect.value))
    told: set[str] = set()
    latest: dict[tuple[str, Row], list[tuple[Read, StepRecord]]] = {}
    for read in sorted(reads, key=lambda read: read.step.end_seq):
        for invariant, message in _judge(read, writers, latest):
            if invariant not in told:
                told.add(invariant)
                yield view.finding("reads", invariant, message)


def _judge(
    read: Read,
    writers: dict[tuple[str, Row], list[tuple[StepRecord, Row | None]]],
    latest: dict[tuple[str, Row], list[tuple[Read, StepRecord]]],
) -> Iterator[tuple[str, str]]:
    step = read.step
    for place in read.rows.keys() - writers.keys():
        yield FROM_NOWHERE, f"{step_name(step)} read {place[0]} {show(place[1])}, which no step wrote"
    for place, wrote in writers.items():
        if place[0] not in read.tables:
            continue
        found = read.rows.get(place)
        name = f"{place[0]} {show(place[1])}"
        seen = [by for by, value in wrote if value == found and by.begin_seq < step.end_seq]
        if found is not None and not seen:
            yield FROM_NOWHERE, f"{step_name(step)} read {name} as {show(found)}, which no step had begun to write"
            continue
        before = [by for by, _ in wrote if by.state is StepState.ACKED and by.end_seq < step.begin_seq]
        possible = [by for by in seen if not any(_ended_before(by, other) for other in before)]
        if before and not possible:
            last = max(before, key=lambda by: by.end_seq)
            yield STALE_READ, f"{step_name(step)} read {name} as {show(found)}; {step_name(last)} was acked before it"
        elif len(possible) == 1 and found is not None:
            for earlier, by in latest.get(place, ()):
                if earlier.step.end_seq < step.begin_seq and _ended_before(possible[0], by):
                    yield (
                        GO_BACK,
                        f"{step_name(step)} read {name} of {step_name(possible[0])}, and "
                        f"{step_name(earlier.step)} before it had read that of {step_name(by)}",
                    )
            latest.setdefault(place, []).append((read, possible[0]))


def _ended_before(a: StepRecord, b: StepRecord) -> bool:
    return a.state is StepState.ACKED and a.end_seq < b.begin_seq
