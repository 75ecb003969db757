"""A compaction deletes in one transaction and writes the summary in the next."""

from crashlab.decide.planted import Planted, Road
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class CompactionInTwo(MessageLog):
    """Makes room first."""

    def compact(self, session_id: int, summary: str, *, keep_last: int) -> int:
        """Delete, commit, then compact what is left."""
        numbers = [message.message_id for message in self.messages(session_id)]
        *gone, last = numbers[: len(numbers) - keep_last] or [0]
        if gone:
            self._write("DELETE FROM messages WHERE session_id = ? AND message_id < ?", (session_id, last))
        return super().compact(session_id, summary, keep_last=keep_last)


workload = AgentMemory(CompactionInTwo, steps=30, vacuum_every=0)
twin = AgentMemory(steps=30, vacuum_every=0)

PLANTED = Planted(
    id="compaction-in-two",
    title="a compaction in two transactions",
    broken="between the two commits messages are gone and no summary stands for them",
    oracle="books",
    invariant="compaction-atomic",
    road=Road.KILL,
    module=__name__,
)
