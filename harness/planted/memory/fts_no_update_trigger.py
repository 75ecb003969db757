"""The plain index has no trigger for updates: an edited message is found by its old words only."""

from crashlab.decide.planted import Planted
from harness.planted.memory._without import without
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class NoUpdateTrigger(MessageLog):
    """Thinks of messages as written once."""

    migrations = without(MessageLog.migrations, "CREATE TRIGGER messages_fts_update")


workload = AgentMemory(NoUpdateTrigger)
twin = AgentMemory()

PLANTED = Planted(
    id="fts-no-update-trigger",
    title="a full-text index without its trigger for updates",
    broken="editing a message leaves its old words in the index, and its new ones out",
    oracle="books",
    invariant="search-finds-acked",
    trials=20,
    module=__name__,
)
