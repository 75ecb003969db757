"""The index is written after the message, in a transaction of its own: whole at rest, torn for every reader."""

from crashlab.decide.planted import Planted
from harness.planted.memory._without import without
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class IndexBehind(MessageLog):
    """Keeps the write short, and indexes what it wrote a moment later."""

    migrations = without(MessageLog.migrations, "CREATE TRIGGER messages_fts_insert")

    def _committed(self) -> None:
        behind = (
            "SELECT message_id, content FROM messages WHERE message_id NOT IN (SELECT id FROM messages_fts_docsize)"
        )
        for number, content in self._read(behind):
            self._write("INSERT INTO messages_fts (rowid, content) VALUES (?, ?)", (number, content))
        super()._committed()


workload = AgentMemory(IndexBehind, reader="process")
twin = AgentMemory(reader="process")

PLANTED = Planted(
    id="index-behind",
    title="an index written in a second transaction",
    broken="between the two commits the message is there and no search finds it",
    oracle="books",
    invariant="fts-agrees",
    trials=20,
    module=__name__,
)
