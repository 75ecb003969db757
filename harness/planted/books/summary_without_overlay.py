"""The summary's total is what the fills add up to: the capital is left out."""

from dataclasses import replace

from crashlab.decide.planted import Planted
from harness.workloads.paper_session import PaperSession
from store import SessionSummary, StateManager


class SummaryWithoutOverlay(StateManager):
    """Takes the ledger for the whole truth."""

    def session_summary(self, session_id: int) -> SessionSummary:
        """As ever, less the capital of the session."""
        found = super().session_summary(session_id)
        parts = found.holdings
        return replace(found, holdings=parts._replace(total=parts.opening.plus(parts.fills_only)))


workload = PaperSession(SummaryWithoutOverlay)
twin = PaperSession()

PLANTED = Planted(
    id="summary-without-overlay",
    title="a summary without the overlay",
    broken="the total lacks the capital that was paid in or taken out during the session",
    oracle="books",
    invariant="summary",
    fault="kill@ack#60",
    trials=20,
    module=__name__,
)
