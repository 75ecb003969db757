"""The agent's memory under the lab: `MessageLog` with chat turns, searches, compactions and readers beside it."""

from harness.workloads.agent_memory.program import DEFAULTS, AgentMemory, AgentProcess, workload

__all__ = ["DEFAULTS", "AgentMemory", "AgentProcess", "workload"]
