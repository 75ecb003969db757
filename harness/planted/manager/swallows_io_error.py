"""A disk error in a write is caught, and the caller is told that all is well."""

import sqlite3
from collections.abc import Sequence

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class SwallowsIoError(StateManager):
    """Treats an OperationalError as a hiccup."""

    def _write(self, sql: str, parameters: Sequence[object]) -> tuple[int, int]:
        try:
            return super()._write(sql, parameters)
        except sqlite3.OperationalError:
            return 0, 1


workload = SystemMetrics(SwallowsIoError, checkpoint_interval_s=0.0)
twin = SystemMetrics(checkpoint_interval_s=0.0)

PLANTED = Planted(
    id="swallows-io-error",
    title="a disk error in a write is swallowed",
    broken="the step is acked although its commit met an error",
    oracle="books",
    invariant="io-error-surfaces",
    fault="io-error@wal.write#140 error=ENOSPC",
    module=__name__,
)
