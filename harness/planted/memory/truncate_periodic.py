"""Every 50 writes TRUNCATE where PASSIVE was asked for: it waits for readers, and the writer with it."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import CheckpointRound, MessageLog
from store.checkpoint import TRUNCATE


class TruncatePeriodic(MessageLog):
    """Keeps the WAL small the expensive way."""

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> CheckpointRound:
        return super()._checkpoint(connection, TRUNCATE)


workload = AgentMemory(TruncatePeriodic)
twin = AgentMemory()

PLANTED = Planted(
    id="memory-truncate-periodic",
    title="TRUNCATE every 50 writes instead of PASSIVE",
    broken="the write counter runs wal_checkpoint(TRUNCATE)",
    oracle="books",
    invariant="checkpoint-modes",
    fault="kill@ack#80",
    module=__name__,
)
