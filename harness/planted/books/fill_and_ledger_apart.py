"""A fill and its ledger entries are written in transactions of their own."""

from contextlib import AbstractContextManager, nullcontext

from crashlab.decide.planted import Planted, Road
from harness.workloads.paper_session import PaperSession
from store import StateManager


class FillAndLedgerApart(StateManager):
    """Trusts that there is no time between two statements."""

    def _fill_transaction(self) -> AbstractContextManager[None]:
        return nullcontext()


workload = PaperSession(FillAndLedgerApart, sessions=1)
twin = PaperSession(sessions=1)

PLANTED = Planted(
    id="fill-and-ledger-apart",
    title="fill and ledger in two transactions",
    broken="a crash between them leaves a fill that no balance knows of",
    oracle="books",
    invariant="fills-have-orders",
    road=Road.KILL,
    module=__name__,
)
