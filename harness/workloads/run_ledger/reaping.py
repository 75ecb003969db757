"""The reaper: fails the runs that nobody has heartbeated, one by one, so that each step has one effect.

Which runs a reap will fail cannot be said beforehand while their owners live. So it is asked with a patience
that only the oldest exceeds, then the next, and at last with the real one, when nothing should be left.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from crashlab.model.step import Effect
from harness.workloads.run_ledger import model
from harness.workloads.run_ledger.role import STALE_RUNS_END, Deed, Role
from harness.workloads.run_ledger.scenes import PATIENCE_S

_PATIENCE_NS: Final = round(PATIENCE_S * 1e9)
_STALE: Final = """SELECT run_id, heartbeat_at FROM protocol_runs
    WHERE status IN ('loading', 'running') AND heartbeat_at < ? ORDER BY heartbeat_at, run_id"""


def reap(role: Role) -> Iterator[Deed]:
    """The steps of a reap, all at one moment of the clock."""
    now = role.now()
    stale: list[tuple[str, int]] = []

    def look() -> tuple[Effect, ...]:
        stale.extend(role.connection.execute(_STALE, (now - _PATIENCE_NS,)).fetchall())
        return ()

    def fail(older_than_s: float) -> tuple[Effect, ...]:
        role.pinned = now
        try:
            return tuple(model.outcome(run_id, "failed") for run_id in role.ledger.fail_stale_runs(older_than_s))
        finally:
            role.pinned = None

    def fail_the_rest() -> tuple[Effect, ...]:
        failed = fail(PATIENCE_S)
        left = role.connection.execute(_STALE, (now - _PATIENCE_NS,)).fetchall()
        if left:
            role.complain(STALE_RUNS_END, f"{left[0][0]} has had no heartbeat for too long and was not failed")
        return failed

    yield Deed((), look)
    for run_id, heartbeat_at in stale:
        older_than_s = (now - heartbeat_at - 1) / 1e9
        yield Deed((model.outcome(run_id, "failed"),), partial(fail, older_than_s))
    yield Deed((), fail_the_rest)
