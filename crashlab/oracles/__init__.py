"""Oracles: what may be in the database after a fault. One checker a file, pure on what it is handed."""
