"""The store holds a snapshot of its own open, so its checkpoints succeed and never finish."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager
from store.startup import file_uri


class PinsItself(StateManager):
    """Opens a connection for reading, begins a transaction on it, and forgets both."""

    _forgotten: sqlite3.Connection | None = None

    def create_session(self, parent: int | None = None) -> int:
        """As ever, and one connection more."""
        session = super().create_session(parent)
        assert self.path is not None
        self._forgotten = self._connect(file_uri(self.path, "ro"), uri=True, isolation_level=None)
        self._forgotten.execute("BEGIN")
        self._forgotten.execute("SELECT count(*) FROM sessions").fetchall()
        return session


workload = SystemMetrics(PinsItself, checkpoint_interval_s=0.05)
twin = SystemMetrics(checkpoint_interval_s=0.05)

PLANTED = Planted(
    id="pins-itself",
    title="a store that pins its own snapshot",
    broken="a read transaction is left open, so PASSIVE reports success and leaves a backlog",
    oracle="books",
    invariant="exposure-bounded",
    fault="kill@ack#120",
    module=__name__,
)
