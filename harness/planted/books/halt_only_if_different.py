"""The halt reason is written only if it differs from the one that is there.

A session that recovers another keeps that one's reason; when it ends for the same one, nothing is written.
"""

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import HaltReason, StateManager
from store.books.halts import HALT_REASON


class HaltOnlyIfDifferent(StateManager):
    """Saves a write."""

    def _write_halt(self, session_id: int, reason: HaltReason, detail: str) -> None:
        if self.get_engine_state(HALT_REASON) != reason.value:
            super()._write_halt(session_id, reason, detail)


workload = PaperSession(HaltOnlyIfDifferent, same_reason=True, recover="always", duration_s=8)
twin = PaperSession(same_reason=True, recover="always", duration_s=8)

PLANTED = Planted(
    id="halt-only-if-different",
    title="a halt reason that is written only if it is another",
    broken="a session that ends for the reason of the one it recovers has none of its own",
    oracle="books",
    invariant="halt-reason",
    module=__name__,
)
