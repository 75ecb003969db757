"""A migration leaves its indexes for later, after the version: a crash before that, and they never come."""

import sqlite3

from crashlab.decide.planted import Planted, Road
from harness.workloads.paper_session import PaperSession
from store import StateManager
from store.connection import MEMORY
from store.schema import Migration, migrate, schema_version
from store.validation import integer


class IndexesAfterVersion(StateManager):
    """Keeps the transaction short."""

    def _migrate(self, connection: sqlite3.Connection) -> None:
        before = schema_version(connection)
        later = [s for m in self.migrations for s in m.statements if "INDEX" in s and m.version > before]
        quick = tuple(
            Migration(m.version, m.title, tuple(s for s in m.statements if "INDEX" not in s)) for m in self.migrations
        )
        migrate(connection, self.path or MEMORY, integer(self._clock(), "the clock's time"), quick)
        for statement in later:
            connection.execute(statement)


workload = PaperSession(IndexesAfterVersion, sessions=1, duration_s=4)
twin = PaperSession(sessions=1, duration_s=4)

PLANTED = Planted(
    id="indexes-after-version",
    title="a migration that is done after its version says so",
    broken="indexes that the version promises, a unique one among them, are missing for ever",
    oracle="books",
    invariant="schema-agrees",
    road=Road.KILL,
    module=__name__,
)
