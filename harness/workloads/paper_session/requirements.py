"""The Go/No-Go rows, each with the checks and audits that stand for it."""

from collections.abc import Mapping

from harness.workloads.paper_session.checks.hardening import NAMES

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "configuration consistent": ("config-wired", "schema-agrees"),
    "inventory validated": (
        "balances",
        "fills-have-orders",
        "summary",
        "drift-flagged",
        "touch-consistent",
        "idempotent",
    ),
    "shutdown sequence verified": ("shutdown-sequence", "sessions-reconciled", "terminal-orders", "orphans"),
    "async issues resolved": ("synchronous",),
    "halt classification correct": ("halt-reason", "halt-classification"),
    "no silent failures": ("refusals-surface", "drift-flagged", "loop-alive", "backlog-reported", "close-reports"),
    "checkpoint hardening": NAMES,
}
