"""Which moments of a recorded run its crash states stand for: coverage over the trace, in bins of operations."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from crashlab.log.trace import TraceKind
from crashlab.states.trace import Trace

BINS_MAX = 100


class Reach(msgspec.Struct, frozen=True):
    """Coverage of one model over a trace. Bin i holds the moments after operations i*width to (i+1)*width - 1.

    `states`: crash states looked at in each bin. `writes_main`, `writes_wal`, `others`: the trace's operations, by the
    file they change; `syncs` of any file. `failing`: classes and disks with a finding whose earliest state is there.
    """

    policy: str
    operations: int
    width: int
    states: tuple[int, ...]
    writes_main: tuple[int, ...]
    writes_wal: tuple[int, ...]
    syncs: tuple[int, ...]
    others: tuple[int, ...]
    failing: tuple[int, ...]


def reach(trace: Trace, database: str, policy: str, states_at: Sequence[int], failing: Iterable[int]) -> Reach:
    """Sum up by bins. `states_at[m]`: states of moment m; `failing`: moments; `database`: the main file's name."""
    operations = len(trace)
    width = max(1, -(-(operations + 1) // BINS_MAX))
    bins = operations // width + 1
    main, wal, syncs, others, failed = ([0] * bins for _ in range(5))
    for op in range(operations):
        kind: Any = trace.kinds[op]
        name = trace.paths[trace.names[op]] if trace.names[op] >= 0 else ""
        at = op // width
        if kind in (TraceKind.SYNC, TraceKind.DIRSYNC):
            syncs[at] += 1
        elif kind == TraceKind.WRITE and name == database:
            main[at] += 1
        elif kind == TraceKind.WRITE and name == f"{database}-wal":
            wal[at] += 1
        else:
            others[at] += 1
    for moment in failing:
        failed[moment // width] += 1
    return Reach(
        policy,
        operations,
        width,
        tuple(int(sum(states_at[at * width : (at + 1) * width])) for at in range(bins)),
        tuple(main),
        tuple(wal),
        tuple(syncs),
        tuple(others),
        tuple(failed),
    )
