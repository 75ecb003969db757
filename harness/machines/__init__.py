"""The property-based regression suite: one Hypothesis state machine a store, each with a plain-Python model.

Each machine drives a store through its public operations while the lab crashes it on the trace road: kills, torn
writes, power losses and I/O errors, between restarts, second openers, checkpoints, backups and restores. What
is there afterwards must be what the model allows. `exhaustive` goes through all short sequences first.
"""
