"""The cadence study: what is at risk outside the main file, at which checkpoint cadence, at what price."""
