"""The road of processes: the lanes of a workload in the processes that it names for them.

- `part`: what one process does: opens the workload, plays its lanes, closes.
- `tale`: what the processes told, as a history.
- `road`: one schedule from a fresh copy of a template to its findings; a `Road`, as that of threads is.
"""
