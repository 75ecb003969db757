"""Faults: the bad things, one a file, each a value with a canonical text form."""
