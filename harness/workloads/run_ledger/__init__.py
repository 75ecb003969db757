"""The run ledger under the lab: several processes, one file."""

from harness.workloads.run_ledger.program import DEFAULTS, RunLedgers, workload

__all__ = ["DEFAULTS", "RunLedgers", "workload"]
