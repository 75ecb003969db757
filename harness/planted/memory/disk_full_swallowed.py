"""A full disk in an append is caught, and the caller is told that all is well."""

import sqlite3
from typing import Any

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class DiskFullSwallowed(MessageLog):
    """Treats every error of the database as a hiccup."""

    def append(self, session_id: int, role: str, content: str, **options: Any) -> int:
        """Append, or not."""
        try:
            return super().append(session_id, role, content, **options)
        except sqlite3.OperationalError:
            return 0

    def append_many(self, session_id: int, messages: Any) -> list[int]:
        """Append, or not."""
        try:
            return super().append_many(session_id, messages)
        except sqlite3.OperationalError:
            return []


workload = AgentMemory(DiskFullSwallowed, steps=60)
twin = AgentMemory(steps=60)

PLANTED = Planted(
    id="disk-full-swallowed",
    title="a full disk in an append, swallowed",
    broken="the step is acked although its commit met an error",
    oracle="books",
    invariant="io-error-surfaces",
    fault="io-error@wal.write#150 error=ENOSPC",
    trials=30,
    module=__name__,
)
