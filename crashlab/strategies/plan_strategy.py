"""Drawing plans."""

from hypothesis import strategies as st

from crashlab.errors import UsageError, did_you_mean
from crashlab.strategies.plan import (
    CHECKPOINTS,
    JOURNALS,
    KEY_MAX,
    PAGE_SIZES,
    SIZE_MAX,
    SYNCHRONOUS,
    Change,
    Checkpoint,
    Operation,
    Plan,
    Put,
    Remove,
    Vacuum,
)


def plans(
    *,
    journals: tuple[str, ...] = ("wal",),
    synchronous: tuple[str, ...] = ("FULL", "NORMAL"),
    page_sizes: tuple[int, ...] = (4096, 1024, 512),
    autocheckpoints: tuple[int, ...] = (1000, 4, 0),
    operations_max: int = 8,
    edits_max: int = 4,
    keys_max: int = 6,
    size_max: int = 3000,
) -> st.SearchStrategy[Plan]:
    """Return a strategy for plans. They shrink to fewer operations, of plain small puts, with the first settings.

    Raises:
        UsageError: an unknown setting, an empty choice, or a bound out of range.
    """
    for what, chosen, known in (("journals", journals, JOURNALS), ("synchronous", synchronous, SYNCHRONOUS)):
        for name in chosen:
            if name not in known:
                raise UsageError(f"plans: {what} has {name!r}, expected some of {known}{did_you_mean(name, known)}")
    if not (journals and synchronous and page_sizes and autocheckpoints):
        raise UsageError(
            "plans: journals, synchronous, page_sizes and autocheckpoints: expected at least one value in each"
        )
    if not set(page_sizes) <= set(PAGE_SIZES):
        raise UsageError(f"plans: page_sizes={page_sizes}, expected some of {PAGE_SIZES}")
    if operations_max < 1 or edits_max < 1 or not 1 <= keys_max <= KEY_MAX or not 0 <= size_max <= SIZE_MAX:
        raise UsageError(
            f"plans: operations_max={operations_max}, edits_max={edits_max}, keys_max={keys_max}, "
            f"size_max={size_max}: expected 1 or more, keys up to {KEY_MAX}, sizes from 0 to {SIZE_MAX}"
        )
    keys = st.integers(1, keys_max)
    edits = st.one_of(st.builds(Put, keys, st.integers(0, size_max)), st.builds(Remove, keys))
    changes = st.lists(edits, min_size=1, max_size=edits_max).map(lambda found: Change(tuple(found)))
    others: st.SearchStrategy[Operation] = st.one_of(st.sampled_from(CHECKPOINTS).map(Checkpoint), st.builds(Vacuum))
    operations: st.SearchStrategy[Operation] = st.one_of(changes, changes, others)
    return st.builds(
        Plan,
        st.lists(operations, min_size=1, max_size=operations_max).map(tuple),
        st.sampled_from(journals),
        st.sampled_from(synchronous),
        st.sampled_from(page_sizes),
        st.sampled_from(autocheckpoints),
    )
