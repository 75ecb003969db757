"""Making a failing crash state smaller, as long as it fails in the same way.

In this order: fewer operations lost, fewer of them torn, fewer sectors lost of those, an earlier moment; for
a kill no torn write, then an earlier moment. Delta debugging (Zeller and Hildebrandt, "Simplifying and
isolating failure-inducing input", 2002) over what the crash took, so the answer is 1-minimal if no limit was
reached: give back any one loss, and it no longer fails that way. Last, the run is recorded again with no more
steps than had begun at the crash. A step is taken only if the finding's identity stays.
"""

import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from crashlab.engine.moments import Loss, Moments
from crashlab.errors import LabError
from crashlab.faults.fault import parse_fault
from crashlab.log.format import Kind
from crashlab.log.reader import log_bases, read_log
from crashlab.log.trace import TraceKind
from crashlab.model.case import Case
from crashlab.model.finding import Identity, Verdict
from crashlab.model.outcome import Outcome
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace

Judge = Callable[[Case], Outcome]
_LANE = msgspec.msgpack.Decoder(tuple[str, int, Any])
Item = TypeVar("Item")


class ReduceStop(StrEnum):
    """Why the reduction stopped."""

    MINIMAL = "nothing smaller fails in the same way"
    TRIES = "the limit of tries was reached"
    SECONDS = "the limit of seconds was reached"


class ReduceLimits(msgspec.Struct, frozen=True):
    """Bounds of one reduction."""

    tries_max: int = 2000
    seconds: float = 60.0


DEFAULT_LIMITS = ReduceLimits()


class Size(msgspec.Struct, frozen=True, order=True):
    """What makes one state smaller than another; compared in the order of the fields.

    `lost`: pending operations that are not wholly there. `torn`: those of them of which a part is there.
    `sectors`: sectors that the torn ones lack (of a kill: bytes of the torn write that are there).
    """

    lost: int
    torn: int
    sectors: int
    moment: int


class Reduced(msgspec.Struct, frozen=True):
    """The smallest case found, and how: `tries` states were judged. `identity` is what was kept."""

    case: Case
    identity: Identity
    before: Size
    after: Size
    tries: int
    stop: ReduceStop


def size_of(moments: Moments, state: CrashState) -> Size:
    """Measure a state of a trace."""
    if state.kind == KILL:
        return Size(0, int(bool(state.torn_bytes)), state.torn_bytes, state.op)
    loss = moments.loss(state)
    lacking = sum(moments.sectors(op) - mask.bit_count() for op, mask in loss.torn)
    return Size(len(loss.lost) + len(loss.torn), len(loss.torn), lacking, state.op)


def reduce_state(
    judge: Judge,
    trace: Trace,
    case: Case,
    state: CrashState,
    limits: ReduceLimits = DEFAULT_LIMITS,
    *,
    identity: Identity | None = None,
) -> Reduced:
    """Reduce a case's crash state; `judge` judges the same case with another state of the same recording.

    `identity`: the finding to keep, by default the case's first.

    Raises:
        LabError: the case does not fail here (in this way), or judging it broke.
        UsageError: the state does not fit the trace.
    """
    first = judge(case)
    if first.verdict is Verdict.ERROR:
        raise LabError(f"case {case.case_id} could not be judged: {first.error}")
    if not first.findings:
        raise LabError(f"case {case.case_id} does not fail here ({first.verdict}), so there is nothing to reduce")
    wanted = identity or first.findings[0].identity
    if not fails_alike(first, wanted):
        raise LabError(f"case {case.case_id} fails here, but not by {wanted}")
    search = _Search(judge, Moments(trace), case, state, wanted, limits)
    stop = search.run()
    return Reduced(
        search.case_of(search.best),
        search.identity,
        size_of(search.moments, state),
        size_of(search.moments, search.best),
        search.tries,
        stop,
    )


def fails_alike(outcome: Outcome, identity: Identity) -> bool:
    """Whether an outcome has a finding of this identity."""
    return any(finding.identity == identity for finding in outcome.findings)


def steps_begun(directory: str, trace: Trace, moment: int) -> tuple[int, int]:
    """Return the most steps that any lane of a recorded run had begun at a moment, and in the whole run."""
    before = trace.happened_before(moment)
    begun, whole = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    for base in log_bases(directory):
        for record in read_log(base):
            if record.kind == Kind.BEGIN:
                lane = (record.process, _LANE.decode(record.payload)[0])
                whole[lane] += 1
                begun[lane] += before(record)
    return max(begun.values(), default=0), max(whole.values(), default=0)


class _LimitReached(Exception):  # noqa: N818 - it ends the search, it is no error
    def __init__(self, stop: ReduceStop) -> None:
        self.stop = stop


class _Search:
    def __init__(
        self,
        judge: Judge,
        moments: Moments,
        case: Case,
        state: CrashState,
        identity: Identity,
        limits: ReduceLimits,
    ) -> None:
        self.moments = moments
        self.identity = identity
        self.best = state
        self.tries = 0
        self._judge = judge
        self._case = case
        self._limits = limits
        self._seen = {state: True}
        self._until = time.monotonic() + limits.seconds

    def case_of(self, state: CrashState) -> Case:
        return msgspec.structs.replace(self._case, fault=str(state))

    def run(self) -> ReduceStop:
        try:
            while True:
                before = self.best
                if before.kind == KILL:
                    self._kill()
                else:
                    self._losses()
                    self._torn()
                    self._earlier(lambda moment: self.moments.state(moment, self.moments.loss(self.best)))
                if self.best == before:
                    return ReduceStop.MINIMAL
        except _LimitReached as reached:
            return reached.stop

    def _try(self, state: CrashState) -> bool:
        """Take a state if it fails alike and is smaller."""
        known = self._seen.get(state)
        if known is None:
            if self.tries >= self._limits.tries_max:
                raise _LimitReached(ReduceStop.TRIES)
            if time.monotonic() > self._until:
                raise _LimitReached(ReduceStop.SECONDS)
            self.tries += 1
            known = self._seen[state] = fails_alike(self._judge(self.case_of(state)), self.identity)
        if not known or size_of(self.moments, state) >= size_of(self.moments, self.best):
            return False
        self.best = state
        return True

    def _losses(self) -> None:
        """As few operations lost as possible, torn ones counted among them."""
        loss = self.moments.loss(self.best)
        torn = dict(loss.torn)
        items = sorted([*loss.lost, *torn])

        def without_the_rest(chosen: list[int]) -> bool:
            return self._try(self._with(tuple(op for op in chosen if op not in torn), _masks(chosen, torn)))

        _minimise(items, without_the_rest)

    def _torn(self) -> None:
        """Rather lost wholly than torn; else as few sectors lost as possible."""
        for op, mask in self.moments.loss(self.best).torn:
            loss = self.moments.loss(self.best)
            others = tuple(pair for pair in loss.torn if pair[0] != op)
            if self._try(self._with(tuple(sorted((*loss.lost, op))), others)):
                continue
            whole = (1 << self.moments.sectors(op)) - 1
            lacking = [at for at in range(self.moments.sectors(op)) if not mask >> at & 1]

            def only(
                chosen: list[int],
                op: int = op,
                whole: int = whole,
                loss: Loss = loss,
                others: tuple[tuple[int, int], ...] = others,
            ) -> bool:
                kept = whole & ~sum(1 << at for at in chosen)
                return self._try(self._with(loss.lost, tuple(sorted((*others, (op, kept))))))

            _minimise(lacking, only)

    def _with(self, lost: tuple[int, ...], torn: tuple[tuple[int, int], ...]) -> CrashState:
        return self.moments.state(self.best.op, Loss(lost, torn))

    def _earlier(self, at: Callable[[int], CrashState]) -> None:
        """Go back in time by halving steps, then one by one."""
        step = self.best.op
        while step:
            if step > self.best.op or not self._try(at(self.best.op - step)):
                step //= 2

    def _kill(self) -> None:
        self._try(CrashState(KILL, self.best.op))
        self._earlier(lambda moment: CrashState(KILL, moment))
        if self.best.torn_bytes:
            self._earlier(self._torn_kill)
            step = self.best.torn_bytes // 2
            while step:
                if not self._try(CrashState(KILL, self.best.op, self.best.torn_bytes - step)):
                    step //= 2
                step = min(step, self.best.torn_bytes - 1)

    def _torn_kill(self, moment: int) -> CrashState:
        trace = self.moments.trace
        write = moment < len(trace) and trace.kinds[moment] == TraceKind.WRITE
        return CrashState(KILL, moment, min(self.best.torn_bytes, trace.lengths[moment] - 1) if write else 0)


def _masks(chosen: list[int], torn: dict[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((op, torn[op]) for op in chosen if op in torn)


def _minimise(items: list[Item], keeps: Callable[[list[Item]], bool]) -> list[Item]:
    """Return a 1-minimal part of the items that `keeps` takes, by delta debugging; the whole is known to be."""
    parts = 2
    while items:
        size = max(1, len(items) // parts)
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        for candidate in chunks if len(chunks) > 2 or size > 1 else []:
            if len(candidate) < len(items) and keeps(candidate):
                items, parts = candidate, 2
                break
        else:
            for number in range(len(chunks)):
                candidate = [item for at, chunk in enumerate(chunks) if at != number for item in chunk]
                if keeps(candidate):
                    items, parts = candidate, max(parts - 1, 2)
                    break
            else:
                if size == 1:
                    return items
                parts = min(len(items), parts * 2)
    return items


def parsed_state(case: Case) -> CrashState | None:
    """Return the computed crash state that a case's fault is, or None for a fault of the real road."""
    state = getattr(parse_fault(case.fault), "state", None)
    return state if isinstance(state, CrashState) else None
