"""What a power loss at one point of a schedule could have left on the disk: a sample of it, shown as files.

Everything that the actors wrote was recorded. What was synced is there; of the rest nothing, a prefix of each file, or
any sectors (`crashlab.states.models`). The sample is drawn from the schedule's digest, so a replay sees the same.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from crashlab.log.record import Record
from crashlab.log.trace import TRACE_KIND_MIN, TraceKind
from crashlab.model.seed import rng_for
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.trace import trace_of

__all__ = ["SAMPLE", "power_losses"]

SAMPLE: dict[Policy, int] = {Policy.SYNCED_ONLY: 1, Policy.PREFIX: 3, Policy.TORN: 4}
"""States of each model."""


def power_losses(records: Sequence[Record], initial: Path, scratch: Path, digest: str) -> Iterator[tuple[str, Path]]:
    """Yield each state's text and a directory with its files, which is the caller's to change.

    `initial`: the files as they were before the recording. `scratch`: an empty directory.

    Raises:
        RecordError: the recording is not whole.
    """
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
                yield text, directory
