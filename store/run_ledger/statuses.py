"""The life of a run: loading → running → completed, failed or closed."""

from typing import Final

LOADING: Final = "loading"
RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CLOSED: Final = "closed"  # cancelled

ACTIVE_STATUSES: Final = (LOADING, RUNNING)
TERMINAL_STATUSES: Final = (COMPLETED, FAILED, CLOSED)
"""A run that has one of these never changes again."""

STATUSES: Final = ACTIVE_STATUSES + TERMINAL_STATUSES
