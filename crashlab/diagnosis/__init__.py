"""Finding out what went wrong, or is about to: hazards in a running program."""
