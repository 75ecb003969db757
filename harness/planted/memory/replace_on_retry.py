"""An append is INSERT OR REPLACE: a retry gives the message a new number, and its place at the end.

REPLACE fires no delete trigger unless recursive triggers are on (https://sqlite.org/lang_conflict.html), so the
index keeps the old entry as well.
"""

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog
from store.message_log.records import Message


class ReplaceOnRetry(MessageLog):
    """Makes appends repeatable in one word."""

    def _by_key(self, key: str) -> Message | None:
        return None

    def _insert_message(self, session_id: int, role: str, content: str, key: str | None, ts: int) -> int:
        return self._write(
            "INSERT OR REPLACE INTO messages (session_id, role, content, message_key, created_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (session_id, role, content, key, ts),
        )[0]


workload = AgentMemory(ReplaceOnRetry)
twin = AgentMemory()

PLANTED = Planted(
    id="replace-on-retry",
    title="a retry that replaces",
    broken="a repeated append writes the message anew, under another number",
    oracle="books",
    invariant="idempotent",
    fault="kill@ack#80",
    trials=20,
    module=__name__,
)
