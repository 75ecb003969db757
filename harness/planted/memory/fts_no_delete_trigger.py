"""The trigram index has no trigger for deletes: it goes on finding messages that are gone."""

from crashlab.decide.planted import Planted
from harness.planted.memory._without import without
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class NoDeleteTrigger(MessageLog):
    """Was written before messages could be deleted."""

    migrations = without(MessageLog.migrations, "CREATE TRIGGER messages_trigram_delete")


workload = AgentMemory(NoDeleteTrigger)
twin = AgentMemory()

PLANTED = Planted(
    id="fts-no-delete-trigger",
    title="a full-text index without its trigger for deletes",
    broken="a deleted message stays in the trigram index",
    oracle="books",
    invariant="fts-agrees",
    fault="kill@ack#110",
    trials=20,
    module=__name__,
)
