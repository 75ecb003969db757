"""Workloads: the store at work, with a model of what it meant to keep."""
