"""A directory for PYTHONPATH: each Python started with it is recorded."""
