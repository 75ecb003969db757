"""Drawing faults as their canonical text."""

from typing import TypeVar

from hypothesis import strategies as st

from crashlab.errors import UsageError, did_you_mean
from crashlab.faults.damage import FILES, OPERATIONS
from crashlab.faults.fault import KINDS, parse_fault
from crashlab.faults.kill import PHASES
from crashlab.faults.states import POLICIES
from crashlab.writers.order import OnHangUp

Drawn = TypeVar("Drawn")

_ROLES = ("main", "wal", "journal", "any")
_CALLS = ("write", "sync", "truncate", "read", "open", "delete")
_ERRORS = (
    ("write", "EIO"),
    ("write", "ENOSPC"),
    ("write", "short-write"),
    ("sync", "EIO"),
    ("sync", "fsync"),
    ("truncate", "EIO"),
    ("read", "read"),
    ("open", "EIO"),
    ("delete", "EIO"),
)


def fault_texts(*, kinds: tuple[str, ...] = KINDS, n_max: int = 50) -> st.SearchStrategy[str]:
    """Return a strategy for canonical fault texts of some kinds. They shrink to the first kind, small numbers.

    `n_max`: the largest count of acks, phases or calls; ten times that for operations of a recorded run.

    Raises:
        UsageError: no kind or an unknown one.
    """
    if not kinds:
        raise UsageError(f"fault_texts: kinds is empty, expected at least one of {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(
                f"fault_texts: unknown kind {kind!r}; known: {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
            )
    n = st.integers(1, n_max)
    moments = _moments(n)
    ops = st.integers(0, 10 * n_max)
    made = {
        "none": st.just("none"),
        "kill": st.one_of(
            st.builds(lambda moment, delay: f"kill@{moment} delay={delay}us", moments, st.integers(0, 2000)),
            st.builds(lambda role, call, n: f"kill@{role}.{call}#{n}", _of(_ROLES), _of(_CALLS), n),
            st.builds(lambda role, n, torn: f"kill@{role}.write#{n}+{torn}", _of(_ROLES), n, st.integers(0, 4095)),
            st.builds(lambda op, torn: f"kill@op={op}" + (f"+{torn}" if torn else ""), ops, st.integers(0, 4095)),
        ),
        "hangup": st.builds(
            lambda moment, on, grace: f"hangup@{moment} on={on.value} grace={grace}ms",
            moments,
            _of(tuple(OnHangUp)),
            st.integers(0, 5000),
        ),
        "io-error": st.builds(
            lambda role, how, n, mode: f"io-error@{role}.{how[0]}#{n} error={how[1]} mode={mode}",
            _of(_ROLES),
            _of(_ERRORS),
            n,
            _of(("once", "persistent")),
        ),
        "damage": st.builds(
            lambda file, at, op, bit, after: (
                f"damage@{file}+{at} op={op} bit={bit}" + (f" after={after}" * bool(after))
            ),
            _of(tuple(FILES)),
            st.integers(0, 1 << 16),
            _of(OPERATIONS),
            st.integers(0, 7),
            st.one_of(st.just(""), moments),
        ),
        "states": st.builds(
            lambda policy, n, recovery: f"states@{policy}#{n}" + f" recovery={recovery}" * bool(recovery),
            _of(POLICIES),
            st.integers(1, 100_000),
            st.integers(0, 4),
        ),
        "power-loss": st.builds(
            lambda op, keep, entries: f"power-loss@op={op} keep={keep:#x} entries={entries:#x}",
            ops,
            st.integers(0, (1 << 64) - 1),
            st.integers(0, 15),
        ),
    }
    return st.one_of([made[kind] for kind in kinds]).map(lambda text: str(parse_fault(text)))


def _of(values: tuple[Drawn, ...]) -> st.SearchStrategy[Drawn]:
    return st.sampled_from(values)


def _moments(n: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.one_of(
        n.map(lambda number: f"ack#{number}"),
        st.builds(lambda phase, number: f"phase={phase}#{number}", st.sampled_from(PHASES), n),
        st.just("start"),
    )
