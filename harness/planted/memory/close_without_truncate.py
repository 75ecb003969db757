"""close() does not checkpoint; another connection that is still open keeps SQLite from doing it."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class CloseWithoutTruncate(MessageLog):
    """Leaves the WAL to SQLite."""

    def _final_checkpoint(self, connection: sqlite3.Connection) -> None:
        pass


workload = AgentMemory(CloseWithoutTruncate, second_connection=True)
twin = AgentMemory(second_connection=True)

PLANTED = Planted(
    id="memory-close-without-truncate",
    title="close() without a checkpoint",
    broken="what the last 50 writes left in the WAL stays there",
    oracle="books",
    invariant="close-truncates",
    module=__name__,
)
