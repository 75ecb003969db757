"""The pool's connections keep the snapshot of their first search."""

import sqlite3

from crashlab.decide.planted import Planted
from harness.workloads.agent_memory import AgentMemory
from store import MessageLog


class StaleReaders(MessageLog):
    """Begins a transaction to have one consistent view, and never ends it."""

    def _open_reader(self) -> sqlite3.Connection:
        connection = super()._open_reader()
        connection.execute("BEGIN")
        return connection


workload = AgentMemory(StaleReaders, reader="threads")
twin = AgentMemory(reader="threads")

PLANTED = Planted(
    id="stale-readers",
    title="searches on a snapshot that is never renewed",
    broken="a pooled connection never ends its first read transaction",
    oracle="books",
    invariant="search-finds-acked",
    module=__name__,
)
