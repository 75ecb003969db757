"""A crash-reliability lab for programs that keep their state in SQLite."""

__version__ = "0.1.0"
