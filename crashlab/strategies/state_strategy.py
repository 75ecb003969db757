"""Drawing crash states of a recorded run."""

from hypothesis import strategies as st

from crashlab.engine.moments import Loss, Moments
from crashlab.errors import UsageError
from crashlab.log.trace import TraceKind
from crashlab.states.models import Policy
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace

TORN_MAX = 3
EXCEPTIONS_MAX = 12


def crash_states(
    trace: Trace,
    *,
    policies: tuple[Policy, ...] = tuple(Policy),
    entries: bool = True,
    first: int = 0,
    last: int = -1,
) -> st.SearchStrategy[CrashState]:
    """Return a strategy for the crash states of a trace under some policies.

    They shrink to the first policy, an earlier moment, fewer operations lost, none torn. `entries`: whether
    unsynced creates, deletes and renames may be lost. `first`, `last`: the moments, both included, `last=-1`
    for the end.

    Raises:
        UsageError: no policy, or moments that the trace does not have.
    """
    end = len(trace) if last < 0 else last
    if not policies:
        raise UsageError("crash_states: policies is empty, expected at least one of " + ", ".join(Policy))
    if not 0 <= first <= end <= len(trace):
        raise UsageError(f"crash_states: moments {first} to {end}, expected 0 to {len(trace)}, the first first")
    moments = Moments(trace)
    return st.tuples(
        st.sampled_from([Policy(policy) for policy in policies]), st.sampled_from(range(first, end + 1))
    ).flatmap(
        lambda chosen: _kills(trace, chosen[1]) if chosen[0] is Policy.KILL else _losses(moments, *chosen, entries)
    )


def _kills(trace: Trace, moment: int) -> st.SearchStrategy[CrashState]:
    write = moment < len(trace) and trace.kinds[moment] == TraceKind.WRITE
    if not write or trace.lengths[moment] < 2:
        return st.just(CrashState(KILL, moment))
    return st.integers(0, trace.lengths[moment] - 1).map(lambda done: CrashState(KILL, moment, done))


def _losses(moments: Moments, policy: Policy, moment: int, entries: bool) -> st.SearchStrategy[CrashState]:
    pending = [op for op in moments.pending(moment) if entries or not moments.is_entry(op)]
    if policy is Policy.SYNCED_ONLY or not pending:
        return st.just(moments.state(moment, Loss(tuple(pending))))
    losses = _cut_off(moments, pending) if policy is Policy.PREFIX else _any(moments, pending, policy is Policy.TORN)
    return losses.map(lambda loss: moments.state(moment, loss))


def _any(moments: Moments, pending: list[int], torn: bool) -> st.SearchStrategy[Loss]:
    """Any operations lost: few of all, or all but few."""
    some = st.lists(st.sampled_from(pending), unique=True, max_size=min(len(pending), EXCEPTIONS_MAX))
    lost = st.tuples(st.booleans(), some).map(
        lambda drawn: [op for op in pending if op not in drawn[1]] if drawn[0] else sorted(drawn[1])
    )
    if not torn:
        return lost.map(lambda ops: Loss(tuple(ops)))
    return lost.flatmap(lambda ops: _torn(moments, pending, ops))


def _torn(moments: Moments, pending: list[int], lost: list[int]) -> st.SearchStrategy[Loss]:
    """Some of the writes torn: of each at least one sector is there and one is not."""
    candidates = [op for op in pending if moments.sectors(op) > 1]
    if not candidates:
        return st.just(Loss(tuple(lost)))

    def masks(ops: list[int]) -> st.SearchStrategy[Loss]:
        kept = [st.integers(1, (1 << moments.sectors(op)) - 2) for op in ops]
        others = tuple(op for op in lost if op not in ops)
        return st.tuples(*kept).map(lambda drawn: Loss(others, tuple(zip(ops, drawn, strict=True))))

    chosen = st.lists(st.sampled_from(candidates), unique=True, max_size=min(TORN_MAX, len(candidates)))
    return chosen.map(sorted).flatmap(masks)


def _cut_off(moments: Moments, pending: list[int]) -> st.SearchStrategy[Loss]:
    """Of each file (and of the entries) the last so many operations lost, the first of these perhaps torn."""
    trace = moments.trace
    groups: dict[int, list[int]] = {}
    for op in pending:
        groups.setdefault(-1 if moments.is_entry(op) else trace.inodes[op], []).append(op)

    def of(ops: list[int]) -> st.SearchStrategy[Loss]:
        return st.integers(0, len(ops)).flatmap(lambda many: _cut(moments, ops[len(ops) - many :]))

    def joined(parts: tuple[Loss, ...]) -> Loss:
        lost = sorted(op for part in parts for op in part.lost)
        return Loss(tuple(lost), tuple(sorted(pair for part in parts for pair in part.torn)))

    return st.tuples(*map(of, groups.values())).map(joined)


def _cut(moments: Moments, lost: list[int]) -> st.SearchStrategy[Loss]:
    most = moments.sectors(lost[0]) if lost else 1
    return st.integers(0, most - 1).map(
        lambda there: Loss(tuple(lost[1:]), ((lost[0], (1 << there) - 1),)) if there else Loss(tuple(lost))
    )
