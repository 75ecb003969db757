"""PASSIVE beside TRUNCATE, every 50 writes of the agent's memory: what each costs, and whether either loses anything.

`crashlab bench memory-policies`, or with a database of any size `python -m harness.memory_policies --pages 65000`.
"""

from harness.memory_policies.run import Conditions, bench, compare_policies

__all__ = ["Conditions", "bench", "compare_policies"]
