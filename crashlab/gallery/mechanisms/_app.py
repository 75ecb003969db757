"""What the exhibits of application-level loss share: the database itself is always well."""

__all__ = ["CLOCK_S", "SOUND"]

SOUND = {"open.error": "none", "quick_check": "ok", "integrity_check": "ok"}
"""Features of a sound database: what every one of these exhibits shows, damage or not."""

CLOCK_S = 1_000_000
"""Where the clocks of these programs start: time is told to them, never read."""
