"""What the exhibits of A1 share: a process that closes a descriptor of its own database outside SQLite."""

from crashlab.gallery.exhibit import CLEAN, Affected

__all__ = ["ADVICE", "CLOSER_PROTECTS", "LINKS", "UNTOUCHED"]

CLOSER_PROTECTS = Affected("closers before 3.51.0, which later look at the -shm lock too", (3, 7, 0), (3, 51, 0))
"""Measured with 3.50.4, 3.51.0, 3.51.1 and 3.54.1: it is the closing process's SQLite that decides."""

LINKS = (
    "https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_",
    "https://github.com/NousResearch/hermes-agent/issues/71724",
    "https://github.com/NousResearch/hermes-agent/issues/100368",
)
ADVICE = (
    "never open the files outside SQLite in a process that has the database open: no sniffing, hashing, copying",
    "read the header through SQLite (PRAGMA application_id), change modes by path, copy with the backup API",
    "look for it while it runs: crashlab hazards, or 'pytest --crashlab-hazards=error'",
)
UNTOUCHED = {**CLEAN, "live.unlinked": "none", "live.ghost_wal": "none"}
"""Nothing was lost, and no live file lost its name."""
