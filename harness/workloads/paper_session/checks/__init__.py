"""What must hold of the books after every fault and restart; each has a planted bug that it catches."""

from crashlab.model.workload import Check
from harness.workloads.paper_session.checks.hardening import HARDENING
from harness.workloads.paper_session.checks.inventory import balances, drift_flagged, fills_have_orders, summary
from harness.workloads.paper_session.checks.orders import orphans, terminal_orders, touch_consistent
from harness.workloads.paper_session.checks.sessions import halt_reason, sessions_reconciled, shutdown_sequence
from harness.workloads.paper_session.checks.surfaces import idempotent, refusals_surface, schema_agrees

BOOKS = tuple(
    Check(check.__name__.replace("_", "-"), check)
    for check in (
        balances,
        fills_have_orders,
        summary,
        drift_flagged,
        sessions_reconciled,
        halt_reason,
        shutdown_sequence,
        terminal_orders,
        orphans,
        touch_consistent,
        idempotent,
        refusals_surface,
        schema_agrees,
    )
)

CHECKS = (*BOOKS, *HARDENING)

__all__ = ["BOOKS", "CHECKS", "HARDENING"]
