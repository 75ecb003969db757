"""Broken lanes for schedules: each must be found, or the good ones' passing would say nothing."""

from collections.abc import Iterator
from typing import Any

from crashlab.model.step import Lane, Step
from crashlab.model.workload import Context
from harness.planted.ledger.cancel_overwrites import CancelOverwrites
from harness.planted.ledger.count_then_insert import CountThenInsert
from harness.workloads.activity import FILLS, METRICS
from harness.workloads.actors import Actors, Crew
from harness.workloads.run_ledger.lanes import LedgerLanes
from harness.workloads.system_metrics import SystemMetrics


class TwoSnapshots(Actors):
    """A dashboard that reads twice without a transaction, as if nothing could come between."""

    def steps(self, lane: Lane, instance: Crew, ctx: Context) -> Iterator[Step]:
        run = instance._dashboard
        instance._dashboard = _NoTransactions(run)
        yield from super().steps(lane, instance, ctx)


class _NoTransactions:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str) -> Any:
        return self._connection.execute("SELECT 1" if sql in ("BEGIN", "COMMIT") else sql)

    def close(self) -> None:
        self._connection.close()


two_snapshots = TwoSnapshots(SystemMetrics(steps=3, checkpoint_interval_s=0, lanes=2), (METRICS, FILLS))
cancel_overwrites = LedgerLanes(CancelOverwrites, workers=1, reaper=True)
count_then_insert = LedgerLanes(CountThenInsert, workers=1, reaper=True)
