"""The one log: an mmapped append-only file per process that survives its writer."""
