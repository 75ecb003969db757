"""Deleting a session leaves its messages: foreign keys are off, as SQLite has them unless it is told."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class Orphans(MessageLog):
    """Believes in a cascade that was never declared."""

    def _open_connection(self) -> sqlite3.Connection:
        connection = super()._open_connection()
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection

    def delete_session(self, session_id: int) -> int:
        """Delete the session."""
        return self._write("DELETE FROM sessions WHERE session_id = ?", (session_id,))[1]


workload = AgentMemory(Orphans, steps=300)
twin = AgentMemory(steps=300)

PLANTED = Planted(
    id="orphans",
    title="messages without their session",
    broken="a session is deleted and its messages are not",
    oracle="books",
    invariant="messages-have-sessions",
    trials=20,
    module=__name__,
)
