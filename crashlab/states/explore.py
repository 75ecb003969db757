"""Covering a trace's crash states: by class, by disk where no class covers, each by real SQLite once and more.

One member of every class is recovered, then at least one more of every class that has one, then a sample of
all; if two members of one class differ the exploration is void (`Exploration.require_sound`). States outside
the classes are recovered once for each different disk.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from crashlab.errors import LabError
from crashlab.states.bits import Bits, Ints, below
from crashlab.states.classes import DIRECT, Classifier
from crashlab.states.coverage import Coverage, Mismatch, StopReason
from crashlab.states.images import Images
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Batch, Model, Policy, batches, make_plan
from crashlab.states.pending import Epoch, epochs
from crashlab.states.recover import Logical, Probe, can_read_only, recover
from crashlab.states.state import CrashState
from crashlab.states.trace import Trace

__all__ = ["Exploration", "Seen", "explore"]

MISMATCHES_MAX = 20
COMPARE_EVERY = 32
"""Of so many recoveries without changing the files one is repeated with."""

_NO_BOUND = 1 << 62

OnRecovered = Callable[[CrashState, Logical, Materialiser], Any]


class Seen(msgspec.Struct):
    """A class, or one disk outside the classes: what is to be judged once for all its states.

    `representative`: the state that was recovered. `first`, `last`: the earliest and the latest moment among
    its states (at `last` most is acked, at `first` least has begun), with a state of each moment for a case
    (`first_state`, `last_state`). `states`: how many were looked at.
    `value`: what `on_recovered` returned for the representative. `reason`: why it is outside the classes.
    """

    representative: CrashState
    digest: bytes
    sound: bool
    first: int
    last: int
    states: int
    first_state: CrashState
    last_state: CrashState
    value: Any = None
    reason: str = ""
    checked: int = 1


class Exploration(msgspec.Struct):
    """The outcome: coverage, and everything that is to be judged. `states_at[m]`: states looked at of moment m."""

    coverage: Coverage
    seen: list[Seen]
    states_at: list[int] = []

    def require_sound(self) -> None:
        """Raise LabError when two members of one class differed."""
        if self.coverage.mismatches:
            first = self.coverage.mismatches[0]
            raise LabError(
                f"{len(self.coverage.mismatches)} crash states recovered otherwise than others of their class, e.g. "
                f"{first.state[:200]} ({first.found[:100]}) and {first.representative[:200]} ({first.expected[:100]}): "
                "this campaign proves nothing; look at them directly (classes=False)"
            )


def explore(
    trace: Trace,
    model: Model,
    rng: Random,
    *,
    probe: Probe,
    scratch: Path,
    classes: bool = True,
    cross_check: bool = True,
    sample: float = 0.02,
    on_recovered: OnRecovered | None = None,
    stop: Callable[[], bool] | None = None,
    images: Images | None = None,
    firsts_max: int = _NO_BOUND,
) -> Exploration:
    """Cover the crash states of a trace under a model, within the model's bounds.

    `scratch`: a directory that does not exist yet, in memory where possible; it is removed at the end.
    `classes=False` takes the direct way for everything. `sample`: part of all states that is cross-checked
    besides one more of every class; `cross_check=False` leaves both out, to see what they cost.
    `on_recovered(state, logical, materialiser)` is called for each representative after its recovery; for
    its files as the crash left them ask `materialiser.export`.
    `stop()` is asked between batches. The same trace, model and generator state give the same exploration.
    `images`: states outside the classes are told apart by what SQLite would make of them, not by their disks; each
    image is recovered once at each, another state of it as a check. `firsts_max`: so many of these and of disks are
    recovered; states of further ones count as `unjudged`.
    """
    with Materialiser(trace, scratch) as materialiser:
        explorer = _Explorer(trace, model, probe, materialiser, sample if cross_check else -1.0, on_recovered)
        explorer.images, explorer.firsts_max = images, firsts_max
        return explorer.run(rng, classes=classes, stop=stop)


class _Explorer:
    def __init__(
        self,
        trace: Trace,
        model: Model,
        probe: Probe,
        materialiser: Materialiser,
        sample: float,
        on_recovered: OnRecovered | None,
    ) -> None:
        self.trace = trace
        self.model = model
        self.kill = model.policy is Policy.KILL
        self.probe = probe
        self.materialiser = materialiser
        self.classifier = Classifier(trace, probe.database)
        self.on_recovered = on_recovered
        self._cross_check = sample >= 0
        self._threshold = np.uint64(min(1.0, max(0.0, sample)) * float(2**64 - 2**11))
        self._by_class: dict[int, Seen] = {}
        self._by_disk: dict[bytes, Seen] = {}
        self._by_image: dict[bytes, Seen] = {}
        self._by_moment: dict[tuple[bytes, int], Seen] = {}
        self.images: Images | None = None
        self.firsts_max = _NO_BOUND
        self.image_states = self.unjudged = 0
        self._mismatches: list[Mismatch] = []
        self._outside: Counter[str] = Counter()
        self._epochs: Iterator[Epoch] = iter(())
        self._states_at = np.zeros(len(trace) + 1, dtype=np.int64)
        self.generated = self.distinct = self.recoveries = self.cross_checked = self.compared = 0

    def run(self, rng: Random, *, classes: bool, stop: Callable[[], bool] | None) -> Exploration:
        plan = make_plan(self.trace, self.model, self.classifier.outside if classes else None)
        reason = StopReason.EXHAUSTED if plan.exhaustive else StopReason.BUDGET
        self._epochs = epochs(self.trace)
        entered = -1
        moment, known = -1, np.zeros(0, dtype=np.uint64)
        for batch in batches(self.trace, plan, rng):
            if (classes or self.images is not None) and batch.pieces.epoch.number != entered:
                entered = batch.pieces.epoch.number
                self._enter(entered)
            hashes = _hashes(batch)
            # Only states of one moment can be the same, and those come in a row.
            known = known[:0] if int(batch.moments[0]) != moment else known
            chosen = _first_of_each(hashes, known)
            moment = int(batch.moments[-1])
            known = np.concatenate((known, hashes)) if (batch.moments == moment).all() else hashes
            self.generated += len(batch)
            self._states_at += np.bincount(batch.moments, minlength=len(self._states_at))
            self.distinct += len(chosen)
            self._cover(batch, chosen, hashes, classes=classes)
            if len(self._mismatches) >= MISMATCHES_MAX:
                break
            if stop is not None and stop():
                reason = StopReason.STOPPED
                break
        if self.unjudged and reason is StopReason.EXHAUSTED:
            reason = StopReason.BUDGET
        if self._mismatches:
            reason = StopReason.MISMATCH
        by_class = list(self._by_class.values())
        coverage = Coverage(
            policy=self.model.policy.value,
            exist=_digits(plan.exist),
            exist_direct=_digits(plan.exist_direct),
            moments=plan.moments,
            moments_sampled=plan.moments_sampled,
            generated=self.generated,
            distinct=self.distinct,
            classes=len(by_class),
            disks=len(self._by_disk),
            recoveries=self.recoveries,
            cross_checked=self.cross_checked,
            second_members=sum(seen.checked > 1 for seen in by_class),
            lone=sum(seen.states == 1 for seen in by_class),
            compared=self.compared,
            mismatches=tuple(self._mismatches),
            outside=dict(self._outside),
            stop=reason,
            images=len(self._by_image),
            image_states=self.image_states,
            unjudged=self.unjudged,
        )
        seen = by_class + list(self._by_moment.values()) + list(self._by_disk.values())
        return Exploration(coverage, seen, self._states_at.tolist())

    def _enter(self, number: int) -> None:
        for epoch in self._epochs:
            self.classifier.enter(epoch)
            if self.images is not None:
                self.images.enter(epoch)
            if epoch.number == number:
                return

    def _cover(self, batch: Batch, chosen: Ints, hashes: Bits, *, classes: bool) -> None:
        """Recover what is new in a batch, and the cross-checks; `chosen` are its states without repeats."""
        if classes:
            found = self.classifier.classify_kills(batch) if self.kill else self.classifier.classify(batch)
            numbers = found[chosen]
        else:
            numbers = np.full(len(chosen), DIRECT, dtype=np.int64)
        inside = np.flatnonzero(numbers != DIRECT)
        if len(inside):
            self._cover_classes(batch, chosen[inside], numbers[inside], hashes)
        if len(inside) < len(chosen):
            self._cover_disks(batch, chosen[numbers == DIRECT], hashes, classes=classes)

    def _cover_classes(self, batch: Batch, chosen: Ints, numbers: Ints, hashes: Bits) -> None:
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        unique, counts = ordered[starts], np.diff(np.append(starts, len(ordered)))
        first, last = order[starts], order[starts + counts - 1]
        moments = batch.moments[chosen]
        lows, highs = moments[first], moments[last]  # within a batch the moments ascend
        done: set[int] = set()
        for place, number in enumerate(unique.tolist()):
            seen = self._by_class.get(number)
            if seen is None:
                index = int(chosen[first[place]])
                seen = self._by_class[number] = self._first(batch.state(index, self.kill))
                done.add(index)
            seen.states += int(counts[place])
            other = int(chosen[last[place]])
            if lows[place] < seen.first:
                seen.first_state = batch.state(int(chosen[first[place]]), self.kill)
                seen.first = seen.first_state.op
            if highs[place] > seen.last:
                seen.last_state = batch.state(other, self.kill)
                seen.last = seen.last_state.op
            if self._cross_check and seen.checked == 1 and other not in done:
                done.add(other)
                self._check_member(seen, batch.state(other, self.kill))
        sampled = np.flatnonzero(_mix(hashes[chosen]) < self._threshold)
        for place in sampled.tolist():
            index = int(chosen[place])
            if index not in done:
                self._check_member(self._by_class[int(numbers[place])], batch.state(index, self.kill))

    def _cover_disks(self, batch: Batch, chosen: Ints, hashes: Bits, *, classes: bool) -> None:
        epoch = batch.pieces.epoch
        images = self.images.keys(batch, chosen, kill=self.kill) if self.images else [None] * len(chosen)
        sampled = (_mix(hashes[chosen]) < self._threshold).tolist()
        exists = below(batch.pieces.starts[np.array(epoch.counts)], batch.pieces.words)
        for index, image, again in zip(chosen.tolist(), images, sampled, strict=True):
            moment = int(batch.moments[index])
            place = moment - epoch.first
            reason = "classes were not asked for"
            if classes:
                reason = self.classifier.reasons[place] or "the WAL header is lost, or the write is to another file"
            self._outside[reason] += 1
            if image is not None:
                self._cover_image(batch, index, image, reason, sampled=again)
                continue
            row = exists[place] if self.kill else batch.rows[index]
            torn = int(batch.torn_bytes[index])
            key = b"%d %d %d " % (epoch.number, moment if torn else 0, torn) + row.tobytes()
            key = hashlib.blake2b(key, digest_size=16).digest()
            seen = self._by_disk.get(key)
            if seen is None and len(self._by_disk) + len(self._by_image) >= self.firsts_max:
                self.unjudged += 1
                continue
            if seen is None:
                seen = self._by_disk[key] = self._first(batch.state(index, self.kill), reason)
            seen.states += 1
            if moment < seen.first:
                seen.first, seen.first_state = moment, batch.state(index, self.kill)
            if moment > seen.last:
                seen.last, seen.last_state = moment, batch.state(index, self.kill)

    def _cover_image(self, batch: Batch, index: int, image: bytes, reason: str, *, sampled: bool) -> None:
        """Recover the first state of an image, the second and a sample; keep apart by moment what is to be judged."""
        first = self._by_image.get(image)
        moment = int(batch.moments[index])
        if first is None:
            if len(self._by_disk) + len(self._by_image) >= self.firsts_max:
                self.unjudged += 1
                return
            first = self._by_image[image] = self._first(batch.state(index, self.kill), reason)
        elif self._cross_check and (first.checked == 1 or sampled):
            self._check_member(first, batch.state(index, self.kill))
        self.image_states += 1
        seen = self._by_moment.get((image, moment))
        if seen is None:
            state = batch.state(index, self.kill)
            seen = msgspec.structs.replace(
                first, first=moment, last=moment, states=0, first_state=state, last_state=state
            )
            self._by_moment[(image, moment)] = seen
        seen.states += 1

    def _first(self, state: CrashState, reason: str = "") -> Seen:
        logical = self._recover(state)
        value = self.on_recovered(state, logical, self.materialiser) if self.on_recovered is not None else None
        return Seen(state, logical.digest, logical.sound, state.op, state.op, 0, state, state, value, reason)

    def _check_member(self, seen: Seen, state: CrashState) -> None:
        logical = self._recover(state)
        seen.checked += 1
        self.cross_checked += 1
        if logical.digest != seen.digest:
            expected = self._recover(seen.representative)
            self._mismatch(state, str(seen.representative), logical, expected)
        elif self.images is not None and self.on_recovered is not None:
            value = self.on_recovered(state, logical, self.materialiser)
            if value != seen.value:
                expected = msgspec.structs.replace(logical, error=f"{seen.value!r}")
                self._mismatch(state, str(seen.representative), Logical(error=f"{value!r}"), expected)

    def _mismatch(self, state: CrashState, other: str, found: Logical, expected: Logical) -> None:
        if len(self._mismatches) < MISMATCHES_MAX:
            self._mismatches.append(Mismatch(str(state), other, repr(found)[:2000], repr(expected)[:2000]))

    def _recover(self, state: CrashState) -> Logical:
        directory = self.materialiser.show(state)
        self.recoveries += 1
        if not can_read_only(self.materialiser.sizes(), self.probe.database):
            logical = recover(directory, self.probe, read_only=False)
            self.materialiser.clear()
            return logical
        logical = recover(directory, self.probe, read_only=True)
        if self.recoveries % COMPARE_EVERY == 0:
            self.compared += 1
            written = recover(directory, self.probe, read_only=False)
            self.materialiser.clear()
            if written.digest != logical.digest:
                self._mismatch(state, "the same state, recovered read-only", written, logical)
        return logical


def _digits(number: int) -> str:
    """Decimal digits of a number of any size; beyond Python's limit for them only the power of ten is exact."""
    if number.bit_length() < 14_000:  # 4300 digits, `sys.get_int_max_str_digits`
        return str(number)
    return "1" + "0" * int((number.bit_length() - 1) * 0.30102999566398120)


def _mix(hashes: Bits) -> Bits:
    mixed: Bits = hashes * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(29))


def _hashes(batch: Batch) -> Bits:
    """Return 64 bits for each state of a batch."""
    found = _mix(batch.moments.astype(np.uint64) ^ (batch.torn_bytes.astype(np.uint64) << np.uint64(32)))
    if len(batch.rows):
        for word in range(batch.rows.shape[1]):
            found = _mix(found ^ batch.rows[:, word])
    return found


def _first_of_each(hashes: Bits, known: Bits) -> Ints:
    """Return the places of hashes that are not known, each once, in order."""
    _, places = np.unique(hashes, return_index=True)
    if len(known):
        places = places[~np.isin(hashes[places], known)]
    places.sort()
    return places.astype(np.int64)
