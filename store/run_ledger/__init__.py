"""The run ledger: runs that several processes start, watch, cancel and end, in one SQLite file."""

from store.run_ledger.ledger import RunLedger
from store.run_ledger.records import AgentRun, Run, RunCapReached
from store.run_ledger.statuses import ACTIVE_STATUSES, STATUSES, TERMINAL_STATUSES

__all__ = ["ACTIVE_STATUSES", "STATUSES", "TERMINAL_STATUSES", "AgentRun", "Run", "RunCapReached", "RunLedger"]
