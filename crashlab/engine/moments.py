"""A trace seen moment by moment: what is pending, and a power loss as the operations that it took.

A crash state's text counts bits among what is pending at its moment, so the same loss at another moment has
another text. A `Loss` names the operations themselves; it can be carried to another moment.
"""

import bisect

import msgspec

from crashlab.errors import UsageError
from crashlab.log.trace import TraceKind
from crashlab.states.pending import ENTRY_KINDS, Epoch, epochs
from crashlab.states.state import POWER_LOSS, CrashState, resolve, sectors
from crashlab.states.trace import Trace

__all__ = ["Loss", "Moments", "require_fit"]


class Loss(msgspec.Struct, frozen=True):
    """What a power loss took. `lost`: operations, ascending. `torn`: (operation, mask of the sectors kept).

    A mask of no sector means lost, one of all sectors means kept.
    """

    lost: tuple[int, ...] = ()
    torn: tuple[tuple[int, int], ...] = ()


class Moments:
    """The moments of one trace."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._epochs = list(epochs(trace))
        self._firsts = [epoch.first for epoch in self._epochs]

    def epoch(self, moment: int) -> Epoch:
        """Return the epoch of a moment.

        Raises:
            UsageError: the trace has no such moment.
        """
        if not 0 <= moment <= len(self.trace):
            raise UsageError(f"op={moment}: the recorded run has {len(self.trace)} operations")
        return self._epochs[bisect.bisect_right(self._firsts, moment) - 1]

    def pending(self, moment: int) -> list[int]:
        """Return the operations that are pending at a moment."""
        epoch = self.epoch(moment)
        return epoch.pending[: epoch.count(moment)]

    def is_entry(self, op: int) -> bool:
        """Whether an operation makes, removes or renames a directory's entry."""
        return self.trace.kinds[op] in ENTRY_KINDS

    def sectors(self, op: int) -> int:
        """Return how many sectors a write touches; 1 for anything that cannot be torn."""
        if self.trace.kinds[op] != TraceKind.WRITE:
            return 1
        return max(1, sectors(self.trace.offsets[op], self.trace.lengths[op]))

    def settled_before(self, moment: int) -> set[int]:
        """Return the operations that are surely on the disk at a moment."""
        return {op for epoch in self._epochs if epoch.first <= moment for op in epoch.settled}

    def loss(self, state: CrashState) -> Loss:
        """Return what a power loss took.

        Raises:
            UsageError: the state does not fit this trace.
        """
        kept = resolve(self.trace, self.epoch(state.op), state)
        whole = {op for op, mask in kept.data if mask is None} | set(kept.entries)
        torn = tuple((op, mask) for op, mask in kept.data if mask is not None)
        gone = whole | {op for op, _ in torn}
        return Loss(tuple(op for op in self.pending(state.op) if op not in gone), torn)

    def state(self, moment: int, loss: Loss) -> CrashState:
        """Return the state in which everything is there but this loss, as far as it is pending at the moment."""
        keep = entries = data_place = entry_place = 0
        lost, masks = set(loss.lost), dict(loss.torn)
        torn: list[tuple[int, int]] = []
        for op in self.pending(moment):
            if self.is_entry(op):
                entries |= (op not in lost) << entry_place
                entry_place += 1
                continue
            mask = masks.get(op, 0 if op in lost else -1) & ((1 << self.sectors(op)) - 1)
            if 0 < mask < (1 << self.sectors(op)) - 1:
                torn.append((data_place, mask))
            elif mask:
                keep |= 1 << data_place
            data_place += 1
        return CrashState(POWER_LOSS, moment, 0, keep, tuple(torn), entries)


def require_fit(trace: Trace, state: CrashState) -> None:
    """Refuse a crash state that is none of this trace.

    Raises:
        UsageError: with the numbers that do not fit.
    """
    try:
        resolve(trace, Moments(trace).epoch(state.op), state)
    except UsageError as error:
        said = str(error).removeprefix(f"crash state {state}: ")
        raise UsageError(f"fault {str(state)[:80]!r} is no state of the recorded run: {said[:300]}") from None
