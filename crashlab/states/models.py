"""The fault models: which crash states a trace could have left, how many, and which of them are looked at.

- `kill`: the process died. The disk has what was done, in order; the write under way may be there up to any
  byte. The page cache outlives the process, so nothing that was done is lost.
- power loss, by what the disk has of the pending writes, from the friendliest to the most hostile:
  `synced-only` none; `prefix` of each file the first ones, the next torn after some sectors; `subset` any of
  them; `torn` any sectors of any of them (sectors of 512 bytes are written wholly or not at all:
  https://sqlite.org/atomiccommit.html section 2). A directory's pending entries follow the same rule.

Where a moment has no more states than its share of the budget, they are all generated; else the share is
sampled, by a seed, with prefixes and nearly whole sets among them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import msgspec
import numpy as np

from crashlab.errors import UsageError
from crashlab.log.trace import TraceKind
from crashlab.states.bits import Bits, Ints, below, first_set, pack, unpack
from crashlab.states.pending import Epoch, epochs
from crashlab.states.pieces import Group, Pieces
from crashlab.states.policy import Model, Policy
from crashlab.states.state import KILL, SECTOR, CrashState
from crashlab.states.trace import Trace

__all__ = ["Batch", "Model", "Plan", "Policy", "batches", "crash_states", "make_plan"]

_CHUNK_WORDS = 1 << 17
_EXHAUSTIVE_BITS_MAX = 24
STRETCH = 48
"""Pieces in a row that are lost one by one in a sampled state; the others go by whole operations."""

_ALL_WORDS = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(slots=True)
class Batch:
    """States of one epoch: of a power loss a row of pieces each, of a kill the bytes of the torn write each."""

    pieces: Pieces
    moments: Ints
    rows: Bits
    torn_bytes: Ints

    def __len__(self) -> int:
        return len(self.moments)

    def state(self, index: int, kill: bool) -> CrashState:
        """Return one state as a value."""
        moment = int(self.moments[index])
        if kill:
            return CrashState(KILL, moment, int(self.torn_bytes[index]))
        return self.pieces.state(moment, self.rows[index])


class Plan(msgspec.Struct, frozen=True):
    """How many states exist, and how many of each moment are to be generated.

    `exist`: exact. `planned`: states to be generated. `shares`: by moment from `first` on. `exhaustive`:
    every state that exists is among them. `moments_sampled`: moments that have more states than their share.
    """

    model: Model
    exist: int
    exist_direct: int
    planned: int
    exhaustive: bool
    moments: int
    moments_sampled: int
    shares: Ints


def make_plan(trace: Trace, model: Model, direct: Callable[[Epoch], list[bool]] | None = None) -> Plan:
    """Count the states of a model and share the budget out among the moments.

    `direct` says of each moment of an epoch whether it is outside the classes; without it all are.
    """
    if model.states_max < 1 or model.direct_max < 0:
        raise UsageError(f"states_max={model.states_max}, direct_max={model.direct_max}: expected 1 or more")
    first, last = _bounds(trace, model)
    exponents = {False: Counter[int](), True: Counter[int]()}
    counts = np.zeros(last - first + 1, dtype=np.int64)
    outside = np.ones(last - first + 1, dtype=np.bool_)
    cap = max(model.states_max, model.direct_max) + 1
    plain = {False: 0, True: 0}
    for epoch in epochs(trace):
        if epoch.last < first or epoch.first > last:
            if direct is not None:
                direct(epoch)
            continue
        flags = direct(epoch) if direct is not None else [True] * len(epoch.counts)
        pieces = Pieces(trace, epoch, torn=model.policy in (Policy.PREFIX, Policy.TORN))
        for moment in range(max(first, epoch.first), min(last, epoch.last) + 1):
            flag = flags[moment - epoch.first]
            outside[moment - first] = flag
            count, exponent = _count(trace, model, pieces, moment)
            if exponent:
                exponents[flag][exponent] += 1
                counts[moment - first] = cap if exponent > 62 else min(1 << exponent, cap)
            else:
                plain[flag] += count
                counts[moment - first] = min(count, cap)
    exist = {flag: plain[flag] + sum(many << exponent for exponent, many in exponents[flag].items()) for flag in plain}
    shares = np.zeros(len(counts), dtype=np.int64)
    shares[~outside] = _share(counts[~outside], model.states_max)
    shares[outside] = _share(counts[outside], model.direct_max)
    sampled = int((shares < counts).sum())
    return Plan(
        model,
        exist[False] + exist[True],
        exist[True],
        int(shares.sum()),
        not sampled,
        len(counts),
        sampled,
        shares,
    )


def crash_states(trace: Trace, model: Model, rng: Random) -> Iterator[CrashState]:
    """Yield the crash states of a trace under a model: all within the budget, else a sample drawn with `rng`.

    Pure: the same trace, model and generator state give the same states. States may repeat where they are
    sampled. Here every moment counts against `states_max`.
    """
    plan = make_plan(trace, model, lambda epoch: [False] * len(epoch.counts))
    kill = model.policy is Policy.KILL
    for batch in batches(trace, plan, rng):
        for index in range(len(batch)):
            yield batch.state(index, kill)


def batches(trace: Trace, plan: Plan, rng: Random) -> Iterator[Batch]:
    """Yield the planned states in batches, by epoch and moment; all states of a moment are in a row."""
    model = plan.model
    first, last = _bounds(trace, model)
    source = _Source(rng)
    for epoch in epochs(trace):
        if epoch.last < first:
            continue
        if epoch.first > last:
            return
        start, end = max(first, epoch.first), min(last, epoch.last)
        shares = plan.shares[start - first : end - first + 1]
        pieces = Pieces(trace, epoch, torn=model.policy in (Policy.PREFIX, Policy.TORN))
        moments = np.arange(start, end + 1)
        if model.policy is Policy.KILL:
            yield from _kills(pieces, moments, shares, source)
            continue
        yield from _power_losses(pieces, model, moments, shares, source)


def _bounds(trace: Trace, model: Model) -> tuple[int, int]:
    last = len(trace) if model.last < 0 else model.last
    if not 0 <= model.first <= last <= len(trace):
        raise UsageError(
            f"moments {model.first} to {model.last}: expected 0 to {len(trace)}, the first not after the last"
        )
    return model.first, last


def _share(counts: Ints, budget: int) -> Ints:
    """Give each moment the same, at most what it has; those with little leave their rest to the others."""
    if not len(counts) or int(counts.sum()) <= budget:
        return counts
    low, high = 0, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(counts, middle).sum()) <= budget else (low, middle - 1)
    shares = np.minimum(counts, low)
    more = np.flatnonzero(counts > low)
    left = budget - int(shares.sum())
    if left and len(more):
        shares[more[np.arange(left) * len(more) // left]] += 1
    return shares


def _count(trace: Trace, model: Model, pieces: Pieces, moment: int) -> tuple[int, int]:
    """Return a moment's number of states, or (0, n) for 2**n of them."""
    match model.policy:
        case Policy.KILL:
            write = moment < len(trace) and trace.kinds[moment] == TraceKind.WRITE
            return 1 + (max(0, trace.lengths[moment] - 1) if write else 0), 0
        case Policy.SYNCED_ONLY:
            return 1, 0
        case Policy.PREFIX:
            exists = pieces.at(moment)
            count = 1
            for group in pieces.groups():
                if model.entries or not _is_entries(pieces, group):
                    count *= 1 + int(np.searchsorted(group.pieces, exists))
            return count, 0
        case _:
            exists = pieces.at(moment)
            if not model.entries:
                exists -= int(pieces.is_entry[: pieces.epoch.count(moment)].sum())
            return (1, 0) if not exists else (0, exists)


def _is_entries(pieces: Pieces, group: Group) -> bool:
    return bool(pieces.is_entry[pieces.op_of[group.pieces[0]]])


class _Source:
    """Random words; the raw stream of PCG64 is the same in every version of numpy."""

    def __init__(self, rng: Random) -> None:
        self._stream = np.random.PCG64(rng.getrandbits(64))

    def words(self, rows: int, words: int) -> Bits:
        raw: Bits = self._stream.random_raw(rows * words)
        return raw.reshape(rows, words)

    def integers(self, highs: Ints) -> Ints:
        """Return one number from 0 to each high, both included."""
        raw: Bits = self._stream.random_raw(len(highs))
        return ((raw >> np.uint64(11)) % (highs + 1).astype(np.uint64)).astype(np.int64)


def _power_losses(pieces: Pieces, model: Model, moments: Ints, shares: Ints, source: _Source) -> Iterator[Batch]:
    chunk = max(1, _CHUNK_WORDS // pieces.words)
    all_moments = np.repeat(moments, shares)
    all_shares = np.repeat(shares, shares)
    ends = np.cumsum(shares)
    places = np.arange(len(all_moments)) - np.repeat(ends - shares, shares)
    complete = np.array(
        [_is_complete(pieces, model, *pair) for pair in zip(moments.tolist(), shares.tolist(), strict=True)]
    )
    all_complete = np.repeat(complete, shares)
    for start in range(0, len(all_moments), chunk):
        part = slice(start, start + chunk)
        rows = np.zeros((len(all_moments[part]), pieces.words), dtype=np.uint64)
        sampled = ~all_complete[part]
        if sampled.any():
            rows[sampled] = _sample(
                pieces,
                model,
                all_moments[part][sampled],
                places[part][sampled],
                all_shares[part][sampled],
                source,
            )
        for at in np.flatnonzero(complete & (ends > start) & (ends - shares < start + chunk)).tolist():
            low, high = max(int(ends[at] - shares[at]), start), min(int(ends[at]), start + chunk)
            if low < high:
                numbers = places[low:high]
                rows[low - start : high - start] = _enumerate(pieces, model, int(moments[at]), numbers)
        if not model.entries:
            rows |= pieces.mask(pieces.is_entry[pieces.op_of])
        counts = np.array(pieces.epoch.counts)[all_moments[part] - pieces.epoch.first]
        yield _batch(pieces, all_moments[part], rows & below(pieces.starts[counts], pieces.words))


def _is_complete(pieces: Pieces, model: Model, moment: int, share: int) -> bool:
    """Whether a moment's share is all that it has."""
    if not share:
        return False
    count, exponent = _count(pieces.trace, model, pieces, moment)
    return share >= count if not exponent else exponent <= _EXHAUSTIVE_BITS_MAX and share >= 1 << exponent


def _batch(pieces: Pieces, moments: Ints, rows: Bits) -> Batch:
    return Batch(pieces, moments, rows, np.zeros(len(moments), dtype=np.int64))


def _enumerate(pieces: Pieces, model: Model, moment: int, numbers: Ints) -> Bits:
    """Return the states of a moment by their numbers."""
    if model.policy is Policy.SYNCED_ONLY:
        return np.zeros((len(numbers), pieces.words), dtype=np.uint64)
    exists = pieces.at(moment)
    if model.policy is Policy.PREFIX:
        groups = [g for g in pieces.groups() if model.entries or not _is_entries(pieces, g)]
        sizes = [1 + int(np.searchsorted(group.pieces, exists)) for group in groups]
        rows = np.zeros((len(numbers), pieces.words), dtype=np.uint64)
        for group, many in zip(groups, np.unravel_index(numbers, sizes), strict=True) if groups else ():
            rows |= _prefix(group.pieces, group, many, pieces)
        return rows
    free = np.arange(exists)
    if model.entries or not pieces.is_entry.any():
        rows = np.zeros((len(numbers), pieces.words), dtype=np.uint64)
        rows[:, 0] = numbers
        return rows
    free = free[~pieces.is_entry[pieces.op_of[:exists]]]
    table = np.zeros((len(numbers), max(1, pieces.total)), dtype=np.bool_)
    table[:, free] = (numbers[:, None] >> np.arange(len(free))) & 1
    return pack(table, pieces.words)


def _prefix(ends: Ints, group: Group, many: Ints, pieces: Pieces) -> Bits:
    """Return rows with the group's pieces before its `many`-th boundary (a piece, or an operation's start)."""
    cuts = np.append(ends, pieces.total)[many]
    return below(cuts, pieces.words) & group.mask


def _sample(pieces: Pieces, model: Model, moments: Ints, places: Ints, shares: Ints, source: _Source) -> Bits:
    """Draw one row a state. The first two of each moment are nothing kept and everything kept."""
    ops = np.array(pieces.epoch.counts)[moments - pieces.epoch.first]
    exists = pieces.starts[ops]
    groups = pieces.groups()
    quarter = places // 4
    rows = np.zeros((len(moments), pieces.words), dtype=np.uint64)
    for group in groups:
        ends = group.pieces if model.policy is Policy.PREFIX else group.starts
        most = np.searchsorted(ends, exists)
        many = source.integers(most)
        if len(groups) == 1 and model.policy is not Policy.PREFIX:
            # All prefixes in turn, where there is room for all.
            many = np.where(shares // 4 > most, np.minimum(quarter, most), many)
        rows |= _prefix(ends, group, many, pieces)
    if model.policy is not Policy.PREFIX:
        # 0: prefixes, 1: prefixes with a torn next write, 2: whole operations, 3: these with torn ones
        mode = places % 4
        mode[(mode == 0) & (quarter > ops)] = 3
        mode[(mode == 2) & (quarter >= 1 << np.minimum(ops, 40))] = 3
        if model.policy is Policy.TORN:
            rows[mode == 1] |= _torn_next(pieces, rows[mode == 1], source)
            whole = mode >= 2
            rows[whole] = _expand(pieces, _dense(int(whole.sum()), len(pieces.starts) - 1, source))
            chosen = np.flatnonzero(mode == 3)
            at = source.integers(exists[chosen])
            stretch = below(at + STRETCH // 2, pieces.words) & ~below(at - STRETCH // 2, pieces.words)
            noise = source.words(len(chosen), pieces.words)
            rows[chosen] = (rows[chosen] & ~stretch) | (noise & stretch)
        else:
            rows[mode >= 1] = _dense(int((mode >= 1).sum()), pieces.total, source)
    rows[places == 0] = 0
    rows[places == 1] = _ALL_WORDS
    return rows


def _dense(rows: int, bits: int, source: _Source) -> Bits:
    """Return random rows in which 1/4, 1/2, 3/4, 7/8, … of the bits are set: nearly whole sets matter most."""
    words = max(1, (bits + 63) // 64)
    found = source.words(rows, words)
    depth = source.integers(np.full(rows, 6))
    for level in range(1, 6):
        more = source.words(rows, words)
        if level == 1:
            found = np.where((depth == 6)[:, None], found & more, found)
        found = np.where(((depth >= level) & (depth < 6))[:, None], found | more, found)
    return found


def _expand(pieces: Pieces, by_op: Bits) -> Bits:
    """Turn rows of operations into rows of their pieces."""
    if not pieces.total:
        return np.zeros((len(by_op), pieces.words), dtype=np.uint64)
    operations = unpack(by_op, len(pieces.starts) - 1)
    return pack(np.take(operations, pieces.op_of, axis=1), pieces.words)


def _torn_next(pieces: Pieces, rows: Bits, source: _Source) -> Bits:
    """Return random sectors of one lost operation a row: the next in one file's order."""
    groups = pieces.groups()
    result = np.zeros_like(rows)
    if not len(rows) or not groups:
        return result
    pick = source.integers(np.full(len(rows), len(groups) - 1))
    noise = source.words(len(rows), pieces.words)
    for number, group in enumerate(groups):
        chosen = np.flatnonzero(pick == number)
        if not len(chosen):
            continue
        lost = ~rows[chosen] & group.mask
        table = np.append(group.starts, pieces.total)
        next_piece = first_set(lost, pieces.total)
        at = np.minimum(np.searchsorted(table, next_piece, side="right"), len(table) - 1)
        within = below(table[at], pieces.words) & ~below(next_piece, pieces.words) & group.mask
        result[chosen] = noise[chosen] & within
    return result


def _kills(pieces: Pieces, moments: Ints, shares: Ints, source: _Source) -> Iterator[Batch]:
    trace = pieces.trace
    empty = np.zeros((0, pieces.words), dtype=np.uint64)
    chunk = _CHUNK_WORDS
    waiting_moments: list[Ints] = []
    waiting_bytes: list[Ints] = []
    size = 0
    for moment, share in zip(moments.tolist(), shares.tolist(), strict=True):
        if not share:
            continue
        length = trace.lengths[moment] if moment < len(trace) and trace.kinds[moment] == TraceKind.WRITE else 0
        torn = _torn_bytes(trace, moment, length, share - 1, source) if length > 1 else np.zeros(0, np.int64)
        torn = np.concatenate((np.zeros(1, np.int64), torn))
        waiting_moments.append(np.full(len(torn), moment))
        waiting_bytes.append(torn)
        size += len(torn)
        if size >= chunk:
            yield Batch(pieces, np.concatenate(waiting_moments), empty, np.concatenate(waiting_bytes))
            waiting_moments, waiting_bytes, size = [], [], 0
    if waiting_moments:
        yield Batch(pieces, np.concatenate(waiting_moments), empty, np.concatenate(waiting_bytes))


def _torn_bytes(trace: Trace, moment: int, length: int, share: int, source: _Source) -> Ints:
    """Return the lengths to tear a write at: all, or the ends, sector boundaries, and chance."""
    if share >= length - 1:
        return np.arange(1, length)
    special = [1, length - 1, 8, 24, length // 2]
    first = SECTOR - trace.offsets[moment] % SECTOR
    special += list(range(first, length, SECTOR))
    chosen = list(dict.fromkeys(n for n in special if 0 < n < length))[:share]
    rest = source.integers(np.full(max(0, share - len(chosen)), length - 2)) + 1
    return np.concatenate((np.array(chosen, dtype=np.int64), rest))
