"""Frozen records that cross every boundary of the lab; no I/O here."""
