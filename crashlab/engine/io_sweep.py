"""The I/O error sweep: fail the i-th call, for i = 1, 2, … until a run ends with no error fired.

That last run proves that every site was reached (APSW's fault discovery, `tools/fi.py`; SQLite's own
ioerr tests). Each run is judged like any other: nothing acked lost, the program comes up again once the
disk is well.
"""

import itertools
from collections.abc import Iterator
from concurrent.futures import Executor

import msgspec

from crashlab.engine.campaign import Tally
from crashlab.engine.road import Road
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.outcome import Outcome

KINDS = (
    ("any.write", "EIO"),
    ("any.write", "ENOSPC"),
    ("any.write", "short-write"),
    ("any.sync", "fsync"),
    ("any.truncate", "EIO"),
    ("any.read", "read"),
    ("any.open", "EIO"),
    ("any.delete", "EIO"),
)
MODES = ("once", "persistent")
SITES_MAX = 5000


class Swept(msgspec.Struct, frozen=True):
    """One kind of error: how many sites there were, and whether the sweep came to an end.

    `exhausted`: a run ended with no error fired, so every site had its turn. A sweep that a limit cut off
    says so in `stop` and proves less.
    """

    selector: str
    error: str
    mode: str
    sites: int
    exhausted: bool
    stop: str
    failures: int
    errors: int


def sweep_kind(
    road: Road, case: Case, selector: str, error: str, mode: str, executor: Executor, slots: int, tally: Tally
) -> Swept:
    """Fail each matching call of one kind in turn; outcomes are added to `tally`."""
    found: list[Outcome] = []
    exhausted = False
    stop = "every site was reached"
    cases = _cases(case, selector, error, mode)
    for first in range(1, SITES_MAX + 1, slots):
        batch = list(itertools.islice(cases, slots))
        runs = executor.map(lambda one: road.run(one, f"io-{selector}-{error}-{mode}"), batch)
        outcomes = list(runs)
        for outcome in outcomes:
            if outcome.verdict is Verdict.MISSED:
                exhausted = True
                break
            found.append(outcome)
            tally.add(outcome)
        if exhausted:
            break
        if sum(o.verdict is Verdict.ERROR for o in found) > slots:
            stop = "the lab broke too often"
            break
        if first + slots > SITES_MAX:
            stop = f"the limit of {SITES_MAX} sites"
    return Swept(
        selector,
        error,
        mode,
        len(found),
        exhausted,
        stop,
        sum(o.verdict is Verdict.FAIL for o in found),
        sum(o.verdict is Verdict.ERROR for o in found),
    )


def sweep(road: Road, case: Case, executor: Executor, slots: int, tally: Tally) -> Iterator[Swept]:
    """Sweep every kind of error, once and persistently."""
    for (selector, error), mode in itertools.product(KINDS, MODES):
        yield sweep_kind(road, case, selector, error, mode, executor, slots, tally)


def _cases(case: Case, selector: str, error: str, mode: str) -> Iterator[Case]:
    for number in itertools.count(1):
        fault = parse_fault(f"io-error@{selector}#{number} error={error} mode={mode}")
        yield msgspec.structs.replace(case, fault=str(fault))
