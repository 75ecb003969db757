"""The trading books at work: a paper engine that trades, halts, is shut down and starts again."""

from harness.workloads.paper_session.session import DEFAULTS, PaperSession, workload

__all__ = ["DEFAULTS", "PaperSession", "workload"]
