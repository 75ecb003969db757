"""What a power loss at one point of a schedule could have left on the disk: a sample of it, shown as files.

Everything that the actors wrote was recorded. What was synced is there; of the rest nothing, a prefix of each file, or
any sectors (`crashlab.states.models`). The sample is drawn from the schedule's digest, so a replay sees the same.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path

import msgspec

from crashlab.log.record import Record
from crashlab.log.trace import TRACE_KIND_MIN, TraceKind
from crashlab.model.finding import Finding
from crashlab.model.seed import rng_for
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.trace import trace_of
from crashlab.writers.order import Order

__all__ = ["SAMPLE", "judge_states", "power_losses"]

SAMPLE: dict[Policy, int] = {Policy.SYNCED_ONLY: 1, Policy.PREFIX: 3, Policy.TORN: 4}
"""States of each model."""


def power_losses(
    records: Sequence[Record], run: str, prepare: Callable[[Path], object], scratch: Path, digest: str
) -> Generator[tuple[str, Path], None, None]:
    """Yield each state's text and a directory with its files, which is the caller's to change.

    `run`: the run's directory, as the recorded names begin. `prepare(directory)`: makes a directory with the files as
    they were before. `scratch`: an empty directory.

    Raises:
        RecordError: the recording is not whole.
    """
    initial = scratch / "initial"
    initial.mkdir()
    prepare(initial / run)
    kinds = range(TRACE_KIND_MIN, max(TraceKind) + 1)
    trace = trace_of((record for record in records if record.kind in kinds), initial=initial)
    end = len(trace)
    seen: set[str] = set()
    with Materialiser(trace, scratch / "states") as materialiser:
        for policy, count in SAMPLE.items():
            model = Model(policy, states_max=count, direct_max=count, first=end, last=end)
            for state in crash_states(trace, model, rng_for(0, "power", policy, digest)):
                text = str(state)
                if text in seen:
                    continue
                seen.add(text)
                directory = scratch / f"power-{len(seen)}"
                directory.mkdir()
                materialiser.export(state, directory)
                yield text, directory / run


def judge_states(
    states: Generator[tuple[str, Path], None, None], order: Order, judge: Callable[[Order], Sequence[Finding]]
) -> tuple[Finding, ...]:
    """Judge states one after another, until one fails; the findings say which. Then the states are given up."""
    try:
        return _first_failing(states, order, judge)
    finally:
        states.close()


def _first_failing(
    states: Iterable[tuple[str, Path]], order: Order, judge: Callable[[Order], Sequence[Finding]]
) -> tuple[Finding, ...]:
    for text, directory in states:
        there = msgspec.structs.replace(
            order, directory=str(directory), database=str(directory / Path(order.database).name)
        )
        found = judge(there)
        if found:
            return tuple(msgspec.structs.replace(one, message=f"{one.message} ({text})"[:1000]) for one in found)
    return ()
