"""A fill and its ledger entries are written in transactions of their own."""

import sqlite3
from collections.abc import Callable

from crashlab.decide.planted import Planted, Road
from harness.workloads.paper_session import PaperSession
from store import StateManager
from store.connection import Result


class FillAndLedgerApart(StateManager):
    """Trusts that there is no time between two statements."""

    def _atomically(self, work: Callable[[sqlite3.Cursor], Result]) -> Result:
        with self._lock:
            return work(self._require().cursor())


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
