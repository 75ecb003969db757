"""Exploring schedules: which interleavings of a workload's lanes, and what each of them showed.

- `strategies`, `exhaustive`: who decides; values with a text form (`bpr:4`). `calibrate`: how long a run will be.
- `generic`: the built-in workload. Any workload with several lanes is explored the same way.
- `road`: one schedule from a fresh copy of a template to its findings; `judge`, `reads`, `walindex`: the oracles.
- `explore`: schedules under a budget. `replay`, `shrink`, `story`: what is done with one that fails. `case`: how it is
  kept.
- `worker`, `client`: all this in a process of its own that can be ended, and its owner, who watches. `memory`.

Another road (processes) offers `Road`, and everything else works on it.
"""
