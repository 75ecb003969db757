"""A checkpoint that fails is not reported: nobody learns that the WAL only grows."""

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class CheckpointFailureSwallowed(MessageLog):
    """Says it at DEBUG, which is silence."""

    def _on_checkpoint_error(self, error: Exception, mode: str, occasion: str) -> None:
        pass


workload = AgentMemory(CheckpointFailureSwallowed, fail_checkpoint=1, checkpoint_every=20)
twin = AgentMemory(fail_checkpoint=1, checkpoint_every=20)

PLANTED = Planted(
    id="checkpoint-failure-swallowed",
    title="a checkpoint that fails in silence",
    broken="the exception of a periodic checkpoint is dropped",
    oracle="books",
    invariant="checkpoint-failures-surface",
    fault="kill@ack#60",
    module=__name__,
)
