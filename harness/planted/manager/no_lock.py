"""The checkpoint thread does not take the lock: it trusts the driver's serialisation.

A checkpoint on a connection with an open transaction or an unfinished cursor raises "database table is locked"
(https://sqlite.org/pragma.html#pragma_wal_checkpoint has no word of it; SQLITE_LOCKED, a conflict within one
connection).
"""

from contextlib import AbstractContextManager, nullcontext

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class NoLock(StateManager):
    """Checkpoints in the middle of other threads' transactions."""

    def _checkpoint_guard(self) -> AbstractContextManager[bool]:
        return nullcontext(enter_result=True)


workload = SystemMetrics(NoLock, checkpoint_interval_s=0.02, lanes=2)
twin = SystemMetrics(checkpoint_interval_s=0.02, lanes=2)

PLANTED = Planted(
    id="no-lock",
    title="no lock between the engine and its checkpoint thread",
    broken="the loop runs its checkpoint without the lock that transactions hold",
    oracle="books",
    invariant="no-failed-round",
    trials=20,
    module=__name__,
)
