"""The store: a small state manager for one SQLite file in WAL mode."""
