"""The write counter counts appends; edits, deletes and compactions write as much and are forgotten."""

from typing import Any

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class CountsAppendsOnly(MessageLog):
    """Has its counter in one method."""

    def append(self, session_id: int, role: str, content: str, **options: Any) -> int:
        """Append, and count."""
        number = super().append(session_id, role, content, **options)
        if not self._in_block:
            super()._committed()
        return number

    def _committed(self) -> None:
        pass


workload = AgentMemory(CountsAppendsOnly)
twin = AgentMemory()

PLANTED = Planted(
    id="counts-appends-only",
    title="a write counter that forgets writes",
    broken="only appends are counted towards the next checkpoint",
    oracle="books",
    invariant="cadence",
    fault="kill@ack#100",
    module=__name__,
)
