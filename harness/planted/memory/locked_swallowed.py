"""`database is locked` is caught and logged at DEBUG, which is silence; the caller is told that all is well."""

import logging
import sqlite3
from typing import Any

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class LockedSwallowed(MessageLog):
    """Thinks that losing a message is better than bothering the user."""

    def append(self, session_id: int, role: str, content: str, **options: Any) -> int:
        """Append, or not."""
        try:
            return super().append(session_id, role, content, **options)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            logging.getLogger("store.message_log").debug("append failed: %s", error)
            return 0


workload = AgentMemory(LockedSwallowed, rival=True, busy_s=0.0)
twin = AgentMemory(rival=True, busy_s=0.0)

PLANTED = Planted(
    id="locked-swallowed",
    title="`database is locked`, swallowed",
    broken="a message that met another process's write lock is acked and never written",
    oracle="durability",
    invariant="acked-row-lost",
    trials=20,
    module=__name__,
)
