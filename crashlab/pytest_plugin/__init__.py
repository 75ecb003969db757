"""The pytest plugin; importing it loads nothing heavy."""
