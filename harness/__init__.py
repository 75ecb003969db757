"""The harness: puts the store under the lab."""
