"""A corpus: failing cases kept beyond their runs, one of each finding, the smallest."""
