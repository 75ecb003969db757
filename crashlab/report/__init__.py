"""Reports: listeners to events and renderings of plain data."""
